//! The Ed25519 keys of access tokens: PKCS#8 PEM in, a public JWK and its thumbprint out.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// RFC 7468 §2: lines of PEM have 64 characters.
const PEM_LINE_CHARACTERS: usize = 64;

/// Why a configured signing key is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSigningKey {
    /// Not one PEM block of a private key (RFC 7468 §10).
    #[error("not one PEM block \"PRIVATE KEY\" (PKCS#8): make a key with `tokenward keygen`")]
    NotPem,
    /// PKCS#8, but not an Ed25519 key (RFC 8410 §7).
    #[error("not an Ed25519 private key in PKCS#8: make one with `tokenward keygen`")]
    NotEd25519,
    /// The current and the next key are the same one.
    #[error("the current and the next signing key are the same: leave `next` out, or make a new key for it")]
    SameKey,
}

/// The random source of the operating system failed, so no key can be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a key: the operating system returned no random bytes")]
pub struct NoRandomness;

/// A new Ed25519 private key as PKCS#8 PEM (version 1, RFC 5208, which every tool reads).
///
/// # Errors
/// [`NoRandomness`].
pub fn generate() -> Result<SecretString, NoRandomness> {
    let pair = Ed25519KeyPair::generate().map_err(|_| NoRandomness)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| NoRandomness)?;
    let encoded = Zeroizing::new(STANDARD.encode(der.as_ref()));
    let mut pem = String::with_capacity(encoded.len() + BEGIN.len() + END.len() + 8);
    pem.push_str(BEGIN);
    for (position, character) in encoded.chars().enumerate() {
        if position % PEM_LINE_CHARACTERS == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push('\n');
    pem.push_str(END);
    pem.push('\n');
    Ok(SecretString::from(pem))
}

/// One key. Its `Debug` output contains the key id only.
pub(super) struct SigningKey {
    pair: Ed25519KeyPair,
    /// `x` of its JWK (RFC 8037 §2).
    public: String,
    /// `kid`: its thumbprint (RFC 7638).
    pub(super) key_id: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`BadSigningKey`].
    pub(super) fn from_pem(pem: &SecretString) -> Result<Self, BadSigningKey> {
        let der = decode_pem(pem.expose_secret()).ok_or(BadSigningKey::NotPem)?;
        // A key of version 1 has no public key with it that could be compared.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| BadSigningKey::NotEd25519)?;
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let key_id = thumbprint(&public);
        Ok(Self { pair, public, key_id })
    }

    /// The signature of `input`, as base64url.
    pub(super) fn sign(&self, input: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(input.as_bytes()).as_ref())
    }

    /// Whether `signature` is this key's for `input`.
    pub(super) fn has_signed(&self, input: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.pair.public_key().as_ref())
            .verify(input.as_bytes(), signature)
            .is_ok()
    }

    /// The public key as a JWK (RFC 7517, RFC 8037).
    pub(super) fn jwk(&self) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": self.public,
            "kid": self.key_id, "use": "sig", "alg": super::ALGORITHM,
        })
    }
}

/// The thumbprint of an Ed25519 key with this `x` (RFC 7638 §3; members of an OKP key: RFC 8037 §2).
fn thumbprint(public: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes()))
}

/// The bytes of the only PEM block in `pem`.
fn decode_pem(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let mut encoded = Zeroizing::new(String::with_capacity(body.len()));
    encoded.extend(body.chars().filter(|character| !character.is_ascii_whitespace()));
    STANDARD.decode(encoded.as_bytes()).ok().map(Zeroizing::new)
}
