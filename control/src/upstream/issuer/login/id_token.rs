//! Checks the claims of a login's ID token (OpenID Connect Core §3.1.3.7). Pure; its signature is verified where the login
//! is registered.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use tokenward_protocol::json;
use tokenward_protocol::jwt::{Claims, Malformed};

use crate::upstream::issuer::token_type::{IdTokenProfile, NotIdToken};

/// Why the ID token of a login is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLoginToken {
    /// Not a JWT with the claims of every ID token.
    #[error("the ID token cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// Another kind of token.
    #[error("the ID token is not accepted: {0}")]
    Kind(#[from] NotIdToken),
    /// `iss`.
    #[error("the ID token was issued by another issuer")]
    Issuer,
    /// `aud`.
    #[error("the ID token's aud does not contain our client_id")]
    Audience,
    /// `azp`.
    #[error("the ID token's azp is another client")]
    AuthorizedParty,
    /// `nonce`: the token belongs to another login.
    #[error("the ID token's nonce is not the one of this login")]
    Nonce,
    /// `exp`.
    #[error("the ID token has expired")]
    Expired,
}

/// Checks the ID token of a login of `client_id` at `issuer` that was made with `nonce`. Returns its claims.
///
/// # Errors
/// [`BadLoginToken`].
pub fn check_id_token(
    token: &str,
    issuer: &str,
    client_id: &str,
    nonce: &str,
    now_ms: u64,
) -> Result<Claims, BadLoginToken> {
    let claims = Claims::read(token.as_bytes())?;
    if claims.issuer != issuer {
        return Err(BadLoginToken::Issuer);
    }
    if !claims.audiences.iter().any(|audience| audience == client_id) {
        return Err(BadLoginToken::Audience);
    }
    let profile = IdTokenProfile::read(token)?;
    if profile
        .authorized_party
        .as_deref()
        .is_some_and(|party| party != client_id)
    {
        return Err(BadLoginToken::AuthorizedParty);
    }
    profile.has_begun(now_ms)?;
    if claims.exp_seconds.saturating_mul(1000) <= now_ms {
        return Err(BadLoginToken::Expired);
    }
    let same = nonce_of(token).is_some_and(|own| bool::from(own.as_bytes().ct_eq(nonce.as_bytes())));
    if same {
        Ok(claims)
    } else {
        Err(BadLoginToken::Nonce)
    }
}

/// `nonce`, if it is a string that occurs once.
fn nonce_of(token: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let payload = json::parse(&payload).ok()?;
    let nonce = payload.member("nonce").ok()??;
    nonce.as_text().map(str::to_owned)
}
