//! Issues codes, and what a client gets for them.

use std::time::Duration;

use secrecy::SecretString;
use tokenward_protocol::duration::whole_ms;

use super::AuthorizationServer;
use crate::app::Service;
use crate::authorization::access_token::AccessTokenClaims;
use crate::authorization::family::record::RotationAnswer;
use crate::authorization::family::token::is_session_id;
use crate::authorization::login::AuthorizedLogin;
use crate::authorization::random;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::digest;
use crate::store::StoreError;

/// How much sooner than its expiry a client is to use an access token last: the gateway's clock may be ahead of the
/// client's, and some clients start a login in a browser where a token that they take for fresh is rejected.
const CLIENT_MARGIN: Duration = Duration::from_secs(120);

/// What a client gets (RFC 6749 §5.1).
#[derive(Debug)]
pub(crate) struct IssuedTokens {
    pub(crate) access_token: SecretString,
    /// How long the client is to use it, in seconds.
    pub(crate) expires_in_seconds: u64,
    pub(crate) refresh_token: SecretString,
    /// Of the access token.
    pub(crate) scope: String,
}

impl IssuedTokens {
    /// `answer` with its refresh token, as of `now_ms`. `usable` is how long a new access token is to be used.
    pub(super) fn of(
        answer: RotationAnswer,
        refresh_token: SecretString,
        now_ms: u64,
        usable: Duration,
    ) -> Self {
        // The clock of the replica that made the answer may be ahead.
        let left_ms = answer.use_until_ms.saturating_sub(now_ms).min(whole_ms(usable));
        Self {
            access_token: answer.access_token,
            // Some clients read 0 as "does not expire".
            expires_in_seconds: (left_ms / 1000).max(1),
            refresh_token,
            scope: answer.scope,
        }
    }
}

impl AuthorizationServer {
    /// A new access token for `login`.
    ///
    /// # Errors
    /// [`StoreError`] without random bytes.
    pub(super) fn access_token(
        &self,
        login: &AuthorizedLogin,
        scope: String,
        now_ms: u64,
    ) -> Result<RotationAnswer, StoreError> {
        let lifetime = self.config.access_token_lifetime;
        let issued_at_seconds = now_ms / 1000;
        let claims = AccessTokenClaims {
            issuer: self.config.issuer.clone(),
            subject: login.subject.clone(),
            audience: login.resource.clone(),
            client_id: login.client.id.clone(),
            scope: scope.clone(),
            issued_at_seconds,
            expires_at_seconds: issued_at_seconds.saturating_add(lifetime.as_secs()),
            id: digest::hex(&random::bytes::<16>()?),
            session: login.session.clone(),
        };
        Ok(RotationAnswer {
            access_token: self.keys.sign(&claims),
            use_until_ms: now_ms.saturating_add(whole_ms(self.usable_for())),
            scope,
        })
    }

    /// How long a client is to use a new access token.
    pub(super) fn usable_for(&self) -> Duration {
        let lifetime = self.config.access_token_lifetime;
        lifetime.saturating_sub(CLIENT_MARGIN.min(lifetime / 4))
    }
}

impl Service {
    /// A code for `login`, whose session is registered.
    ///
    /// # Errors
    /// [`AuthorizationRefused`].
    pub async fn issue_code(&self, login: &AuthorizedLogin) -> Result<SecretString, AuthorizationRefused> {
        let Some(server) = &self.authorization else {
            let cause = "there is no authorization server";
            return Err(AuthorizationRefused::new(AuthorizationRefusal::Misconfigured).because(cause));
        };
        if !is_session_id(&login.session) {
            let cause = "a login's session id is not the one of a login";
            return Err(AuthorizationRefused::new(AuthorizationRefusal::Misconfigured).because(cause));
        }
        Ok(server.codes.issue(login).await?)
    }
}
