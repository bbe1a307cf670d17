//! The kind of a JWT access token, and the client to which it was issued.

use tokenward_protocol::json::{self, Json};

use super::{
    IdTokenProfile, NotIdToken, decoded, is_for_any_bearer, is_media_type, member, rounded_down, rounded_up,
    seconds, shown, text,
};

/// An access token's claims beyond those that every token has. Nothing is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessTokenProfile(IdTokenProfile);

impl AccessTokenProfile {
    /// Reads the profile of a compact JWS: JOSE `typ` `at+jwt` (RFC 9068 §2.1), `JWT` or none, a payload that names no
    /// other kind, and no key of its holder.
    ///
    /// # Errors
    /// [`NotIdToken`] for another kind of token.
    pub fn read(token: &str) -> Result<Self, NotIdToken> {
        let (header, payload) = decoded(token)?;
        let header = json::parse(&header).map_err(|_| NotIdToken::Unreadable("typ"))?;
        let payload = json::parse(&payload).map_err(|_| NotIdToken::Unreadable("set"))?;
        if let Some(typ) = text(&header, "typ")?
            && !["at+jwt", "JWT"].iter().any(|name| is_media_type(typ, name))
        {
            return Err(NotIdToken::HeaderType(shown(typ)));
        }
        if member(&header, "nonce")?.is_some() {
            return Err(NotIdToken::ForItsServerOnly);
        }
        // Keycloak's word for it.
        if let Some(kind) = text(&payload, "typ")?
            && !kind.eq_ignore_ascii_case("Bearer")
        {
            return Err(NotIdToken::PayloadType(shown(kind)));
        }
        if let Some(usage) = text(&payload, "token_use")?
            && !usage.eq_ignore_ascii_case("access")
        {
            return Err(NotIdToken::TokenUse(shown(usage)));
        }
        is_for_any_bearer(&payload)?;
        Ok(Self(IdTokenProfile {
            authorized_party: client(&payload)?,
            not_before_seconds: seconds(&payload, "nbf")?.map(rounded_up),
            issued_at_seconds: seconds(&payload, "iat")?.map(rounded_down),
            session_id: None,
        }))
    }

    /// Whether the token was issued to a client that `is_trusted`. A token that names no client is accepted.
    ///
    /// # Errors
    /// [`NotIdToken::OtherClient`].
    pub fn is_issued_to(&self, is_trusted: impl Fn(&str) -> bool) -> Result<(), NotIdToken> {
        self.0.is_issued_to(is_trusted)
    }

    /// Whether the token is already valid at `now_ms` (RFC 7519 §4.1.5, §4.1.6).
    ///
    /// # Errors
    /// [`NotIdToken::Early`].
    pub fn has_begun(&self, now_ms: u64) -> Result<(), NotIdToken> {
        self.0.has_begun(now_ms)
    }
}

/// The client that the token was issued to: `azp` (Keycloak, Auth0, Entra), `client_id` (RFC 9068 §2.2), `cid` (Okta), or
/// `appid` (Entra's v1 tokens).
fn client(payload: &Json<'_>) -> Result<Option<String>, NotIdToken> {
    for name in ["azp", "client_id", "cid", "appid"] {
        if let Some(client) = text(payload, name)? {
            return Ok(Some(client.to_owned()));
        }
    }
    Ok(None)
}
