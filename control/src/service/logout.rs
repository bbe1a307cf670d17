//! Back-Channel Logout: what a logout token must be (OpenID Connect Back-Channel Logout 1.0 §2.6) and what follows.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokenward_protocol::refusal::Refusal;

use super::Service;
use crate::issuer::keys::KeyAge;
use crate::refused::Refused;

/// The member of `events` that makes a JWT a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be, and how far its `iat` may be ahead.
const LONGEST_AGE_SECONDS: u64 = 300;

#[derive(Deserialize)]
struct LogoutClaims {
    iat: u64,
    jti: String,
    events: Map<String, Value>,
    nonce: Option<Value>,
}

impl Service {
    /// Ends all sessions of the user that an issuer's logout token names. Answers how many there were.
    ///
    /// # Errors
    /// [`Refused`]: [`Refusal::BadRequest`] for everything that is not a new, valid logout token.
    pub async fn backchannel_logout(&self, token: &SecretString) -> Result<u64, Refused> {
        let bad = |cause: &str| Refused::new(Refusal::BadRequest).because(cause);
        let text = token.expose_secret();
        let claims = tokenward_protocol::jwt::Claims::read(text.as_bytes())
            .map_err(|_| bad("logout_token must be one JWT with iss, sub, aud and exp"))?;
        let home = self
            .homes
            .iter()
            .find(|home| {
                home.config.issuer == claims.issuer && claims.audiences.contains(&home.config.client_id)
            })
            .ok_or_else(|| bad("logout_token is of an issuer or for a client that is not configured"))?;
        home.keys
            .verify(text, KeyAge::Present)
            .await
            .map_err(|unverified| {
                if unverified.is_transient() {
                    unverified.into()
                } else {
                    bad(&format!("logout_token: {unverified}"))
                }
            })?;
        let logout = logout_claims(text).ok_or_else(|| bad("logout_token needs iat, jti and events"))?;
        let now_seconds = self.context.clock.now_ms() / 1000;
        if claims.exp_seconds <= now_seconds || logout.iat.abs_diff(now_seconds) > LONGEST_AGE_SECONDS {
            return Err(bad("logout_token is not current"));
        }
        if !logout.events.get(LOGOUT_EVENT).is_some_and(Value::is_object) {
            return Err(bad("logout_token does not carry the logout event"));
        }
        // §2.4: an ID token must never pass as a logout token.
        if logout.nonce.is_some() {
            return Err(bad("logout_token must not carry a nonce"));
        }
        if self.sessions.has_seen(&claims.issuer, &logout.jti).await? {
            return Err(bad("logout_token was used before"));
        }
        let ended = self.sign_out(&claims.issuer, &claims.subject).await?;
        // Only what is done is done: an issuer that heard of an outage sends the same token again.
        let lifetime = Duration::from_secs(2 * LONGEST_AGE_SECONDS);
        self.sessions
            .note_seen(&claims.issuer, &logout.jti, lifetime)
            .await?;
        tracing::info!(issuer = claims.issuer, ended, "signed out by the issuer");
        Ok(ended)
    }
}

fn logout_claims(token: &str) -> Option<LogoutClaims> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
