//! OpenID Connect Back-Channel Logout 1.0: validates a logout token (§2.6) and ends the sessions that it names (§2.7).

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use super::Service;
use crate::activity::Via;
use crate::refused::Refused;
use crate::session::SidLogout;
use crate::upstream::grant::sign_out::SignOutTime;
use crate::upstream::issuer::keys::KeyAge;
use crate::upstream::issuer::logout_token::{LONGEST_AGE_SECONDS, LoggedOut, LogoutToken, NotLogoutToken};
use crate::upstream::issuer::proven_tokens::TokenDigest;

impl From<NotLogoutToken> for Refused {
    fn from(not_logout_token: NotLogoutToken) -> Self {
        bad(not_logout_token.to_string())
    }
}

fn bad(cause: impl Into<String>) -> Refused {
    Refused::new(Refusal::BadRequest).because(cause)
}

impl Service {
    /// Ends the sessions that an issuer's logout token names: those of one session at the issuer (`sid`), or all of a
    /// user (`sub`). Returns how many there were.
    ///
    /// # Errors
    /// [`Refused`]: [`Refusal::BadRequest`] for a token that is not a valid logout token or was used before; the store
    /// failed, or the issuer's keys cannot be fetched.
    pub(crate) async fn backchannel_logout(&self, token: &SecretString) -> Result<u64, Refused> {
        let logout = self.verify_logout_token(token.expose_secret()).await?;
        logout.is_current(self.context.clock.now_ms() / 1000)?;
        let issuer = logout.issuer.as_str();
        if self.sessions.is_logout_token_used(issuer, &logout.id).await? {
            return Err(bad("logout_token was used before"));
        }
        let ended = match &logout.whose {
            LoggedOut::User(subject) => {
                let moment = SignOutTime::AtIssuer(logout.issued_at_seconds);
                self.sign_out(issuer, subject, moment, Via::Issuer).await?
            }
            LoggedOut::Session { session_id, subject } => {
                let logout = SidLogout {
                    issuer,
                    session_id,
                    subject: subject.as_deref(),
                    issued_at_seconds: logout.issued_at_seconds,
                };
                let ended = self.sessions.end_sid(logout).await?;
                self.record_sign_out(issuer, subject.as_deref(), Via::Issuer.into(), ended);
                ended
            }
        };
        // Recorded last: an issuer that received an error for an outage sends the same token again.
        let lifetime = Duration::from_secs(2 * LONGEST_AGE_SECONDS);
        self.sessions
            .record_logout_token(issuer, &logout.id, lifetime)
            .await?;
        tracing::info!(issuer, ended, "signed out by the issuer");
        Ok(ended)
    }

    /// Parses the logout token and verifies that its issuer signed it for a configured client.
    async fn verify_logout_token(&self, token: &str) -> Result<LogoutToken, Refused> {
        let logout = LogoutToken::read(token)?;
        let home = self
            .homes
            .iter()
            .find(|home| {
                home.config.issuer == logout.issuer && logout.audiences.contains(&home.config.client_id)
            })
            .ok_or_else(|| bad("logout_token is of an issuer or for a client that is not configured"))?;
        // A logout token may lack a subject; verification reads `exp` and `iat` only.
        let claims = Claims {
            exp_seconds: logout.exp_seconds,
            issued_at_seconds: Some(logout.issued_at_seconds),
            issuer: logout.issuer.clone(),
            subject: String::new(),
            audiences: Vec::new(),
        };
        let proven = home
            .keys
            .prove(token, TokenDigest::of(token), &claims, KeyAge::Present)
            .await;
        proven.map_err(|unverified| {
            if unverified.is_transient() {
                unverified.into()
            } else {
                bad(format!("logout_token: {unverified}"))
            }
        })?;
        Ok(logout)
    }

    /// Refuses a token whose session at the issuer has ended since the token was issued.
    pub(super) async fn check_issuer_session(
        &self,
        sid: &str,
        issued_at_seconds: Option<u64>,
    ) -> Result<(), Refused> {
        if self.sessions.has_sid_ended(sid, issued_at_seconds).await? {
            return Err(Refused::new(Refusal::UnknownSession)
                .because("its session at the issuer has been logged out"));
        }
        Ok(())
    }
}
