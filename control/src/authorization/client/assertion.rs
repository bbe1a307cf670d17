//! Client assertions (`private_key_jwt`, RFC 7523 §2.2 and §3): a JWT that the client signed for one request. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_protocol::json::{self, Json};
use tokenward_protocol::jwt::Claims;

use crate::upstream::issuer::algorithm::Algorithm;
use crate::upstream::issuer::jwk::VerifyingKey;
use crate::upstream::issuer::verify::{key_fits, read_header, signed_by};

/// `client_assertion_type` of RFC 7523 §2.2.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The longest assertion, in bytes.
pub const MAX_ASSERTION_BYTES: usize = 8 * 1024;
/// How far ahead `exp` may be: an assertion is made for one request.
pub const MAX_LIFETIME_SECONDS: u64 = 300;
/// How far the client's clock may be from ours.
pub const CLOCK_SKEW_SECONDS: u64 = 60;
/// The longest `jti`, in bytes.
const MAX_ID_BYTES: usize = 512;

/// Why an assertion is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAssertion {
    /// `client_assertion_type` is another one.
    #[error("client_assertion_type must be {ASSERTION_TYPE}")]
    Type,
    /// Not a JWT with the claims of RFC 7523 §3 and a `jti`, or too long.
    #[error("client_assertion must be a JWT with iss, sub, aud, exp and jti")]
    Unreadable,
    /// `iss` or `sub` is not the client.
    #[error("iss and sub of the assertion must be the client_id")]
    Client,
    /// `aud` is not exactly our issuer or token endpoint.
    #[error("aud of the assertion must be our issuer alone")]
    Audience,
    /// It has expired.
    #[error("the assertion has expired")]
    Expired,
    /// `exp` is too far ahead.
    #[error("exp of the assertion must be at most {MAX_LIFETIME_SECONDS} s ahead")]
    TooLong,
    /// `nbf` or `iat` is ahead.
    #[error("the assertion is not valid yet")]
    NotYet,
    /// Another algorithm than those that our metadata names.
    #[error("the assertion must be signed with RS256, ES256 or EdDSA")]
    Algorithm,
    /// No key of the client made its signature.
    #[error("no key of the client made the assertion's signature")]
    Signature,
    /// It was used before.
    #[error("the assertion was used before: make one for each request")]
    Used,
}

/// An assertion, read but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// `jti`.
    pub id: String,
    /// `exp`, Unix seconds.
    pub expires_at_seconds: u64,
    algorithm: Algorithm,
    key_id: Option<String>,
}

impl Assertion {
    /// Reads `token` and checks its claims: it is of `client_id`, for one of `audiences`, and valid now.
    ///
    /// # Errors
    /// [`BadAssertion`].
    pub fn read(
        token: &str,
        client_id: &str,
        audiences: &[&str],
        now_seconds: u64,
    ) -> Result<Self, BadAssertion> {
        if token.len() > MAX_ASSERTION_BYTES {
            return Err(BadAssertion::Unreadable);
        }
        let header = read_header(token).map_err(|_| BadAssertion::Algorithm)?;
        if !matches!(
            header.algorithm,
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::Ed25519
        ) {
            return Err(BadAssertion::Algorithm);
        }
        let claims = Claims::read(token.as_bytes()).map_err(|_| BadAssertion::Unreadable)?;
        if claims.issuer != client_id || claims.subject != client_id {
            return Err(BadAssertion::Client);
        }
        // Several audiences: another server could present it here.
        match claims.audiences.as_slice() {
            [audience] if audiences.contains(&audience.as_str()) => {}
            _ => return Err(BadAssertion::Audience),
        }
        if claims.exp_seconds.saturating_add(CLOCK_SKEW_SECONDS) <= now_seconds {
            return Err(BadAssertion::Expired);
        }
        let latest = now_seconds + MAX_LIFETIME_SECONDS + CLOCK_SKEW_SECONDS;
        if claims.exp_seconds > latest {
            return Err(BadAssertion::TooLong);
        }
        let others = OtherClaims::read(token).ok_or(BadAssertion::Unreadable)?;
        let is_ahead = |at: Option<u64>| at.is_some_and(|at| at > now_seconds + CLOCK_SKEW_SECONDS);
        if is_ahead(others.not_before_seconds) || is_ahead(claims.issued_at_seconds) {
            return Err(BadAssertion::NotYet);
        }
        Ok(Self {
            id: others.id,
            expires_at_seconds: claims.exp_seconds,
            algorithm: header.algorithm,
            key_id: header.key_id,
        })
    }

    /// Whether `key` can be the one that signed the assertion: a key without an id can be.
    #[must_use]
    pub fn may_be_signed_by(&self, key: &VerifyingKey) -> bool {
        let names_it = match (&self.key_id, key.id()) {
            (Some(stated), Some(id)) => stated == id,
            _ => true,
        };
        names_it && key_fits(key, self.algorithm)
    }

    /// Whether one of `keys` made the signature of `token`, from which this assertion was read.
    #[must_use]
    pub fn is_signed(&self, token: &str, keys: &[VerifyingKey]) -> bool {
        keys.iter()
            .any(|key| self.may_be_signed_by(key) && signed_by(token, self.algorithm, key))
    }

    /// For how long it must be remembered as used, in seconds.
    #[must_use]
    pub const fn remembered_for_seconds(&self, now_seconds: u64) -> u64 {
        // Until it has expired for every clock that accepts it.
        self.expires_at_seconds
            .saturating_sub(now_seconds)
            .saturating_add(2 * CLOCK_SKEW_SECONDS)
    }
}

/// The claims that only assertions have.
struct OtherClaims {
    id: String,
    not_before_seconds: Option<u64>,
}

impl OtherClaims {
    fn read(token: &str) -> Option<Self> {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let payload = json::parse(&payload).ok()?;
        let id = payload.member("jti").ok()??.as_text()?;
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return None;
        }
        let not_before_seconds = match payload.member("nbf").ok()? {
            None => None,
            Some(Json::Number(_)) => Some(payload.member("nbf").ok()??.as_whole()?),
            Some(_) => return None,
        };
        Some(Self {
            id: id.to_owned(),
            not_before_seconds,
        })
    }
}
