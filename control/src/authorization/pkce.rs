//! Proof key for code exchange (RFC 7636): S256 and nothing else (MCP authorization; `plain` protects from nothing).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

/// RFC 7636 §4.1 and §4.2: lengths of a verifier and a challenge.
const LENGTHS: std::ops::RangeInclusive<usize> = 43..=128;

/// Whether `text` can be a `code_verifier` or `code_challenge`: 43 to 128 unreserved characters (RFC 7636 §4.1, §4.2).
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    LENGTHS.contains(&text.len()) && text.bytes().all(unreserved)
}

/// Whether `verifier` is the one of `challenge` (RFC 7636 §4.6), compared in constant time.
#[must_use]
pub fn is_verifier_of(verifier: &str, challenge: &str) -> bool {
    let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    expected.as_bytes().ct_eq(challenge.as_bytes()).into()
}
