//! Access tokens of our own: JWTs of the RFC 9068 profile, signed with Ed25519.
//!
//! Such a token never leaves the gateway. The filter reads `iss`, `aud`, `exp` and `sid` without verifying them; control
//! verifies every token before it swaps it, so a forged one opens nothing.

mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

pub use self::keys::{BadSigningKey, NoRandomness, generate};

use self::keys::SigningKey;
use crate::config::SigningKeysConfig;

/// The one algorithm (RFC 8037 §3.1).
const ALGORITHM: &str = "EdDSA";
/// `typ` (RFC 9068 §2.1): no ID token has it, so neither kind of token is taken for the other (RFC 8725 §3.11).
const TYPE: &str = "at+jwt";
/// Longest access token that is verified, in bytes. Most have 600; a registered client's `client_id` may have thousands.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 16 * 1024;

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Debug, Clone)]
pub struct AccessTokenClaims {
    /// `iss`: our issuer identifier.
    pub issuer: String,
    /// `sub`: the user at the issuer of the upstream login.
    pub subject: String,
    /// `aud`, always exactly one: the resource identifier of a server (RFC 8707).
    pub audience: String,
    /// `client_id`: the client that the token was issued to.
    pub client_id: String,
    /// `scope`, separated by spaces.
    pub scope: String,
    /// `iat`, Unix seconds.
    pub issued_at_seconds: u64,
    /// `exp`, Unix seconds.
    pub expires_at_seconds: u64,
    /// `jti`.
    pub id: String,
    /// `sid`: the handle of the login's session.
    pub session: SecretString,
}

/// Why a token is not an access token of ours that is good now. Goes to logs, never to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Longer than [`MAX_ACCESS_TOKEN_BYTES`].
    #[error("it is longer than {MAX_ACCESS_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not a compact JWS (RFC 7515 §7.1).
    #[error("it is not three base64url parts")]
    Unreadable,
    /// The header is not exactly `alg: EdDSA`, `typ: at+jwt` and a `kid`.
    #[error("its header is not that of an access token of ours")]
    Header,
    /// No configured key has this `kid`.
    #[error("it names a signing key that is not configured")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// The claims are not those of [`AccessTokenClaims`].
    #[error("its claims are not those of an access token of ours")]
    Claims,
    /// `exp` has passed.
    #[error("it has expired")]
    Expired,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// The payload. Later versions may add claims, which replicas of this version ignore.
#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    aud: [String; 1],
    client_id: String,
    scope: String,
    iat: u64,
    exp: u64,
    jti: String,
    sid: String,
}

/// The configured keys: the current one signs, both verify.
#[derive(Debug)]
pub struct SigningKeys {
    current: SigningKey,
    next: Option<SigningKey>,
}

impl SigningKeys {
    /// Reads the configured keys.
    ///
    /// # Errors
    /// [`BadSigningKey`].
    pub fn from_config(config: &SigningKeysConfig) -> Result<Self, BadSigningKey> {
        let current = SigningKey::from_pem(&config.current)?;
        let next = config.next.as_ref().map(SigningKey::from_pem).transpose()?;
        if next.as_ref().is_some_and(|next| next.key_id == current.key_id) {
            return Err(BadSigningKey::SameKey);
        }
        Ok(Self { current, next })
    }

    /// `kid` of the key that signs: its thumbprint (RFC 7638).
    #[must_use]
    pub fn current_key_id(&self) -> &str {
        &self.current.key_id
    }

    /// The access token with `claims`.
    #[must_use]
    pub fn sign(&self, claims: &AccessTokenClaims) -> SecretString {
        let header = json!({"alg": ALGORITHM, "typ": TYPE, "kid": self.current.key_id}).to_string();
        let payload = json!({
            "iss": claims.issuer,
            "sub": claims.subject,
            "aud": [claims.audience],
            "client_id": claims.client_id,
            "scope": claims.scope,
            "iat": claims.issued_at_seconds,
            "exp": claims.expires_at_seconds,
            "jti": claims.id,
            "sid": claims.session.expose_secret(),
        })
        .to_string();
        let encoded = |json: &str| URL_SAFE_NO_PAD.encode(json.as_bytes());
        let input = format!("{}.{}", encoded(&header), encoded(&payload));
        let signature = self.current.sign(&input);
        SecretString::from(format!("{input}.{signature}"))
    }

    /// The claims of `token`, if a configured key signed it and it has not expired at `now_ms` (Unix ms). The caller
    /// checks issuer, audience and session.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<AccessTokenClaims, NotOurs> {
        if token.len() > MAX_ACCESS_TOKEN_BYTES {
            return Err(NotOurs::TooLong);
        }
        let (input, signature) = token.rsplit_once('.').ok_or(NotOurs::Unreadable)?;
        let (header, payload) = input.split_once('.').ok_or(NotOurs::Unreadable)?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| NotOurs::Unreadable);
        let (header, payload, signature) = (decoded(header)?, decoded(payload)?, decoded(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| NotOurs::Header)?;
        if header.alg != ALGORITHM || header.typ != TYPE {
            return Err(NotOurs::Header);
        }
        let key = self.key(&header.kid).ok_or(NotOurs::UnknownKey)?;
        if !key.has_signed(input, &signature) {
            return Err(NotOurs::Signature);
        }
        let payload: Payload = serde_json::from_slice(&payload).map_err(|_| NotOurs::Claims)?;
        if payload.exp.saturating_mul(1000) <= now_ms {
            return Err(NotOurs::Expired);
        }
        Ok(payload.into_claims())
    }

    /// The public keys as a JWK set (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> Value {
        let keys = std::iter::once(&self.current).chain(&self.next);
        json!({"keys": keys.map(SigningKey::jwk).collect::<Vec<_>>()})
    }

    fn key(&self, key_id: &str) -> Option<&SigningKey> {
        let mut keys = std::iter::once(&self.current).chain(&self.next);
        keys.find(|key| key.key_id == key_id)
    }
}

impl Payload {
    fn into_claims(self) -> AccessTokenClaims {
        let [audience] = self.aud;
        AccessTokenClaims {
            issuer: self.iss,
            subject: self.sub,
            audience,
            client_id: self.client_id,
            scope: self.scope,
            issued_at_seconds: self.iat,
            expires_at_seconds: self.exp,
            id: self.jti,
            session: SecretString::from(self.sid),
        }
    }
}
