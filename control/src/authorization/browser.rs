//! What binds a login to one browser: random values in cookies, of which only digests are kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::random;
use crate::digest;
use crate::store::StoreError;

/// Random bytes of a cookie, a `state`, a nonce and a code verifier.
const RANDOM_BYTES: usize = 32;
/// [`RANDOM_BYTES`] in base64url.
const RANDOM_CHARACTERS: usize = 43;

/// 256 random bits in base64url: 43 characters, as a code verifier needs (RFC 7636 §4.1).
///
/// # Errors
/// [`StoreError`] if the operating system has no random bytes.
pub fn random_text() -> Result<SecretString, StoreError> {
    Ok(URL_SAFE_NO_PAD.encode(random::bytes::<RANDOM_BYTES>()?).into())
}

/// A session id of 128 random bits, in hex.
///
/// # Errors
/// [`StoreError`] if the operating system has no random bytes.
pub fn random_session() -> Result<SecretString, StoreError> {
    Ok(digest::hex(&random::bytes::<16>()?).into())
}

/// The random value of one of our cookies, as the browser sent it.
#[derive(Debug, Clone)]
pub struct BrowserSecret(SecretString);

impl BrowserSecret {
    /// A new one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn new() -> Result<Self, StoreError> {
        random_text().map(Self)
    }

    /// Reads a cookie's value; `None` for anything that [`BrowserSecret::new`] does not make.
    #[must_use]
    pub fn read(value: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (value.len() == RANDOM_CHARACTERS && value.bytes().all(plain)).then(|| Self(value.into()))
    }

    /// Its digest, for `purpose`.
    #[must_use]
    pub fn digest(&self, purpose: &str) -> BrowserDigest {
        BrowserDigest(digest::hex_of_parts(&[purpose, self.0.expose_secret()]))
    }

    /// The value for the cookie.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The digest of a [`BrowserSecret`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BrowserDigest(String);

impl BrowserDigest {
    /// 64 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same, in constant time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}
