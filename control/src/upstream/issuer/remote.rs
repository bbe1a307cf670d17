//! A remote issuer: token exchanges (RFC 8693) for one server.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::token_endpoint::{GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_ID_TOKEN};
use tokio::time::Instant;

use super::answer::{ExchangeAnswer, RawAnswer, read_exchange, refuses_client};
use super::client::{CallFailed, ClientCredentials, Connection};
use super::discovery::Discovery;
use super::keys::IssuerKeys;
use super::limits::{CallLimits, CallOutcome, Throttled};
use crate::config::{ClientAuth, ExchangeConfig};
use crate::context::Context;
use crate::upstream::streak::StreakKind;

/// A remote issuer and the exchange there for one server.
#[derive(Debug)]
pub struct RemoteIssuer {
    /// The exchange's configuration.
    pub config: ExchangeConfig,
    /// The remote's keys.
    pub keys: Arc<IssuerKeys>,
    limits: Arc<CallLimits>,
    /// Fetched only after the remote refuses the client: it may require another authentication method.
    discovery: Arc<Discovery>,
}

impl RemoteIssuer {
    /// The remote of `config`. `keys` verify its tokens; all servers with exchanges there share the `limits`.
    #[must_use]
    pub fn new(config: ExchangeConfig, keys: Arc<IssuerKeys>, limits: Arc<CallLimits>) -> Self {
        Self {
            discovery: Arc::new(Discovery::new(config.expected_issuer.clone(), None, None)),
            config,
            keys,
            limits,
        }
    }

    /// The wait while the remote's circuit is open: [`CallLimits::circuit_open`].
    #[must_use]
    pub fn circuit_open(&self) -> Option<Throttled> {
        self.limits.circuit_open()
    }

    /// Exchanges `subject_token` of the grant with this digest (RFC 8693 §2.1).
    ///
    /// # Errors
    /// [`Throttled`]; nothing was presented.
    pub async fn exchange(
        &self,
        context: &Context,
        grant: &str,
        subject_token: &SecretString,
    ) -> Result<ExchangeAnswer, Throttled> {
        let permit = self.limits.acquire(grant).await?;
        let auth = self
            .config
            .client_auth
            .unwrap_or_else(|| self.discovery.client_auth());
        let mut raw = self.present(context, subject_token, auth).await;
        let is_client_refused =
            (raw.as_ref()).is_ok_and(|answer| refuses_client(answer, self.config.dialect));
        // An exchange uses nothing up, so a second request with the other authentication method does no harm.
        if self.config.client_auth.is_none()
            && auth == ClientAuth::Basic
            && is_client_refused
            && self.discovery.ensure_read(context).await.is_ok()
            && self.discovery.client_auth() == ClientAuth::Post
        {
            raw = self.present(context, subject_token, ClientAuth::Post).await;
        }
        let answer = match &raw {
            Ok(answer) => read_exchange(answer, self.config.dialect),
            Err(failed) => ExchangeAnswer::Transient(failed.clone().into()),
        };
        let issuer = &self.config.expected_issuer;
        context.metrics.issuer_answer(issuer, "exchange", answer.class());
        permit.record(match &answer {
            // Dex answers 500 for a scope that it never grants: a fault of one server's configuration, not of the issuer.
            ExchangeAnswer::Transient(passing)
                if matches!(passing.kind, StreakKind::Unreachable | StreakKind::NotOauth) =>
            {
                passing.into()
            }
            _ => CallOutcome::Answer,
        });
        Ok(answer)
    }

    async fn present(
        &self,
        context: &Context,
        subject_token: &SecretString,
        auth: ClientAuth,
    ) -> Result<RawAnswer, CallFailed> {
        let credentials = ClientCredentials {
            issuer: &self.config.expected_issuer,
            dialect: self.config.dialect,
            now_ms: context.clock.now_ms(),
            id: &self.config.client_id,
            secret: &self.config.client_secret,
            auth,
        };
        let mut form = vec![("grant_type", GRANT_TYPE_TOKEN_EXCHANGE)];
        form.extend(self.config.dialect.connector_parameter(&self.config.connector_id));
        form.extend([
            ("scope", self.config.scopes.as_str()),
            ("requested_token_type", TOKEN_TYPE_ID_TOKEN),
            ("subject_token_type", TOKEN_TYPE_ID_TOKEN),
            ("subject_token", subject_token.expose_secret()),
        ]);
        let started = Instant::now();
        let answer = context
            .client
            .post_form(
                &self.config.token_endpoint,
                credentials,
                &form,
                Connection::Pooled,
            )
            .await;
        context
            .metrics
            .issuer_request(&self.config.expected_issuer, "exchange", started.elapsed());
        answer
    }
}
