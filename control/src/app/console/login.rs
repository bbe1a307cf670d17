//! The operators' login: authorization code flow with PKCE at the configured issuer. What is under way is in the browser's
//! sealed cookie, so that an outage of the store locks no operator out.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::refusal::Refusal;
use url::Url;

use super::Console;
use super::refusal::{ConsoleRefusal, ConsoleRefused};
use crate::app::Service;
use crate::authorization::refusal::AuthorizationRefusal;
use crate::authorization::source::{Allowance, Source};
use crate::authorization::upstream_response::{UpstreamResponse, refusal_of_error};
use crate::console::NotSealed;
use crate::console::access::is_member;
use crate::console::attempt::LoginAttempt;
use crate::console::identity::UserIdentity;
use crate::console::session::ConsoleSession;
use crate::digest;
use crate::store::{Expected, Key, StoreError};
use crate::upstream::issuer::NotPermitted;
use crate::upstream::issuer::answer::Transient;
use crate::upstream::issuer::answer::login::LoginAnswer;
use crate::upstream::issuer::login::{
    CodeRedemption, LoginRequest, NoAuthorizationEndpoint, check_id_token, is_from_another_issuer, s256,
};
use crate::upstream::issuer::pace::Urgency;
use crate::upstream::issuer::unverified::Unverified;

impl From<NotSealed> for ConsoleRefused {
    fn from(not_sealed: NotSealed) -> Self {
        match not_sealed {
            NotSealed::Random(error) => error.into(),
            NotSealed::TooLong => Self::new(ConsoleRefusal::InvalidAnswer, not_sealed.to_string()),
        }
    }
}

impl Service {
    /// Begins a login that leads to the page `to`: what the browser has to hold, and where it goes.
    ///
    /// # Errors
    /// [`ConsoleRefused`].
    pub(crate) async fn begin_console_login(
        &self,
        console: &Console,
        source: Source,
        to: &str,
    ) -> Result<(LoginAttempt, Url), ConsoleRefused> {
        let now_ms = self.context.clock.now_ms();
        console
            .sources
            .take(source, Allowance::ConsoleLogin, now_ms)
            .map_err(|limited| ConsoleRefused {
                retry_after_seconds: Some(limited.retry_after.as_secs() + 1),
                ..ConsoleRefusal::TooMany.into()
            })?;
        let attempt = LoginAttempt::begin(to, now_ms)?;
        let request = LoginRequest {
            redirect_uri: &console.config.callback(),
            scope: &console.config.login.scope(console.config.client.dialect),
            state: attempt.state(),
            nonce: &attempt.nonce,
            code_challenge: &s256(&attempt.code_verifier),
        };
        let url = console
            .home
            .login_url(&self.context, &console.config.login, &request)
            .await
            .map_err(|error| match error {
                NoAuthorizationEndpoint::Absent => ConsoleRefused::new(
                    ConsoleRefusal::Misconfigured,
                    "the issuer's discovery document has no usable authorization_endpoint: set \
                     console.authorization_endpoint",
                ),
                NoAuthorizationEndpoint::Discovery(failed) => {
                    ConsoleRefused::new(ConsoleRefusal::IssuerUnavailable, failed.to_string())
                }
            })?;
        Ok((attempt, url))
    }

    /// Finishes the login that this browser began as `attempt`.
    ///
    /// # Errors
    /// [`ConsoleRefused`].
    pub(crate) async fn finish_console_login(
        &self,
        console: &Console,
        attempt: &LoginAttempt,
        response: &UpstreamResponse,
    ) -> Result<ConsoleSession, ConsoleRefused> {
        if !attempt.is_state(&response.state) {
            return Err(ConsoleRefusal::UnknownLogin.into());
        }
        let home = &console.home;
        let issuer = &home.config.issuer;
        if is_from_another_issuer(issuer, home.sends_issuer(), response.issuer.as_deref()) {
            return Err(ConsoleRefusal::MixUp.into());
        }
        let code = match (&response.code, &response.error) {
            (_, Some(error)) => return Err(denied(&refusal_of_error(error))),
            (Some(code), None) => code,
            (None, None) => return Err(invalid("the issuer sent neither code nor error")),
        };
        let id_token = self.redeem_console_code(console, attempt, code).await?;
        let token = id_token.expose_secret();
        let now_ms = self.context.clock.now_ms();
        let claims = check_id_token(token, issuer, &home.config.client_id, &attempt.nonce, now_ms)
            .map_err(|bad| invalid(&bad.to_string()))?;
        home.keys
            .prove_login(token, &claims)
            .await
            .map_err(|unverified| not_proven(&unverified))?;
        let operator = UserIdentity::read(token).ok_or_else(|| invalid("the ID token has no sub"))?;
        if !is_member(token, &console.config.groups_claim, &console.config.groups) {
            let claim = &console.config.groups_claim;
            return Err(ConsoleRefused::new(
                ConsoleRefusal::NotMember,
                format!("the claim {claim} of your ID token names none of console.groups"),
            ));
        }
        Ok(ConsoleSession::begin(&operator, now_ms)?)
    }

    /// Presents `code` once; returns the ID token, unverified.
    async fn redeem_console_code(
        &self,
        console: &Console,
        attempt: &LoginAttempt,
        code: &SecretString,
    ) -> Result<SecretString, ConsoleRefused> {
        let state = digest::hex_of_parts(&["console login", attempt.state().expose_secret()]);
        let permit = console
            .home
            .permit(&self.context, &state, Urgency::Waiting)
            .await
            .map_err(not_permitted)?;
        let redemption = CodeRedemption {
            code,
            redirect_uri: &console.config.callback(),
            code_verifier: &attempt.code_verifier,
        };
        match console.home.redeem_code(&self.context, permit, &redemption).await {
            LoginAnswer::LoggedIn(tokens) => tokens
                .id_token
                .ok_or_else(|| invalid("the issuer sent no ID token")),
            LoginAnswer::CodeRejected => Err(ConsoleRefusal::CodeRejected.into()),
            LoginAnswer::Denied => Err(ConsoleRefusal::Denied.into()),
            LoginAnswer::Misconfigured(cause) => {
                Err(ConsoleRefused::new(ConsoleRefusal::Misconfigured, cause))
            }
            LoginAnswer::Transient(passing) => Err(transient(&passing)),
        }
    }

    /// Ends a login at the console on all replicas.
    ///
    /// # Errors
    /// [`StoreError`]: the browser's cookie is removed all the same, and a copy of it works until it expires.
    pub(crate) async fn end_console_session(
        &self,
        session: &ConsoleSession,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let store = &self.context.store;
        store
            .write(&ended(session), Expected::Any, &[1], Some(lifetime))
            .await
            .map(drop)
    }

    /// Whether the operator has signed out of `session`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn is_console_session_ended(
        &self,
        session: &ConsoleSession,
    ) -> Result<bool, StoreError> {
        Ok(self.context.store.read(&ended(session)).await?.is_some())
    }
}

fn ended(session: &ConsoleSession) -> Key {
    Key::new("console_ended", &session.digest())
}

fn invalid(cause: &str) -> ConsoleRefused {
    ConsoleRefused::new(ConsoleRefusal::InvalidAnswer, cause)
}

/// What an error in the issuer's response means here.
fn denied(refused: &crate::authorization::refusal::AuthorizationRefused) -> ConsoleRefused {
    let refusal = match refused.refusal {
        AuthorizationRefusal::IssuerUnavailable => ConsoleRefusal::IssuerUnavailable,
        AuthorizationRefusal::Misconfigured => ConsoleRefusal::Misconfigured,
        _ => ConsoleRefusal::Denied,
    };
    ConsoleRefused::new(refusal, refused.cause.clone())
}

fn not_permitted(why: NotPermitted) -> ConsoleRefused {
    match why {
        NotPermitted::Throttled(throttled) => {
            let refused = throttled.refused(Refusal::IssuerUnavailable);
            ConsoleRefused {
                retry_after_seconds: refused.retry_after_seconds,
                ..ConsoleRefused::new(ConsoleRefusal::IssuerUnavailable, refused.cause)
            }
        }
        NotPermitted::Transient(passing) => transient(&passing),
        NotPermitted::Misconfigured(cause) => ConsoleRefused::new(ConsoleRefusal::Misconfigured, cause),
    }
}

fn transient(passing: &Transient) -> ConsoleRefused {
    ConsoleRefused::new(ConsoleRefusal::IssuerUnavailable, passing.cause.clone())
}

fn not_proven(unverified: &Unverified) -> ConsoleRefused {
    if unverified.is_transient() {
        ConsoleRefused::new(ConsoleRefusal::IssuerUnavailable, unverified.to_string())
    } else {
        invalid(&unverified.to_string())
    }
}
