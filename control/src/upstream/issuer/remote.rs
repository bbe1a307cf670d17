//! A remote issuer: token exchanges for one server, and what it reports about the exchanged tokens.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use super::answer::exchange::{ExchangeAnswer, ExchangeCall, read_exchange};
use super::answer::{RawAnswer, Transient, refuses_client};
use super::client::{CallFailed, ClientCredentials, Connection};
use super::discovery::{Discovery, DiscoveryFailed};
use super::exchange_form::exchange_form;
use super::keys::IssuerKeys;
use super::limits::{CallLimits, CallOutcome, Throttled};
use super::pace::Urgency;
use super::token_introspection::{TokenIntrospection, read_token_introspection, withheld};
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
    /// Fetched only after the remote refuses the client, which may require another authentication method, and for the
    /// introspection endpoint.
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

    /// Exchanges `subject_token` of the grant with this digest (RFC 8693 §2.1, RFC 7523 §2.1).
    ///
    /// # Errors
    /// [`Throttled`]; nothing was presented.
    pub async fn exchange(
        &self,
        context: &Context,
        (grant, urgency): (&str, Urgency),
        subject_token: &SecretString,
    ) -> Result<ExchangeAnswer, Throttled> {
        let permit = self.limits.acquire(grant, urgency).await?;
        let auth = self.client_auth();
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
            Ok(answer) => read_exchange(answer, &self.call()),
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

    /// Introspects `token`, which an exchange for the grant with this digest has brought.
    ///
    /// # Errors
    /// [`Throttled`]; nothing was presented.
    pub async fn introspect(
        &self,
        context: &Context,
        grant: &str,
        token: &SecretString,
    ) -> Result<TokenIntrospection, Throttled> {
        let permit = self.limits.acquire(grant, Urgency::Waiting).await?;
        let endpoint = match self.discovery.introspection_endpoint(context).await {
            Ok(Some(endpoint)) => endpoint,
            Ok(None) => {
                permit.record(CallOutcome::Answer);
                return Ok(withheld("the remote issuer has no introspection endpoint"));
            }
            Err(DiscoveryFailed::Unusable(cause)) => {
                permit.record(CallOutcome::Answer);
                return Ok(withheld(&cause));
            }
            Err(failed @ DiscoveryFailed::Unavailable { .. }) => {
                let passing = Transient {
                    kind: StreakKind::Unreachable,
                    retry_after: None,
                    cause: failed.to_string(),
                    perhaps_done: false,
                };
                permit.record((&passing).into());
                return Ok(TokenIntrospection::Transient(passing));
            }
        };
        let form = [
            ("token", token.expose_secret()),
            ("token_type_hint", "access_token"),
        ];
        let auth = self.client_auth();
        let introspected = match self.post(context, (&endpoint, "introspect"), &form, auth).await {
            Ok(answer) => read_token_introspection(&answer, self.config.dialect),
            Err(failed) => TokenIntrospection::Transient(failed.into()),
        };
        let class = match &introspected {
            TokenIntrospection::Active(_) => "active",
            TokenIntrospection::NotActive => "not_active",
            TokenIntrospection::Withheld(_) => "not_told",
            TokenIntrospection::Transient(passing) => passing.class(),
        };
        context
            .metrics
            .issuer_answer(&self.config.expected_issuer, "introspect", class);
        permit.record(match &introspected {
            TokenIntrospection::Transient(passing) => passing.into(),
            _ => CallOutcome::Answer,
        });
        Ok(introspected)
    }

    fn client_auth(&self) -> ClientAuth {
        let discovered = || self.discovery.client_auth();
        self.config.client_auth.unwrap_or_else(discovered)
    }

    fn call(&self) -> ExchangeCall<'_> {
        ExchangeCall {
            dialect: self.config.dialect,
            grant: self.config.grant,
            requested_token_type: self.config.requested_token_type.as_deref(),
        }
    }

    async fn present(
        &self,
        context: &Context,
        subject_token: &SecretString,
        auth: ClientAuth,
    ) -> Result<RawAnswer, CallFailed> {
        let form = exchange_form(&self.config, subject_token.expose_secret());
        let endpoint = &self.config.token_endpoint;
        self.post(context, (endpoint, "exchange"), &form, auth).await
    }

    /// Posts `form` as the exchanging client; `call` is the request's name in metrics.
    async fn post(
        &self,
        context: &Context,
        (endpoint, call): (&Url, &'static str),
        form: &[(&str, &str)],
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
        let started = Instant::now();
        let answer = context
            .client
            .post_form(endpoint, credentials, form, Connection::Pooled)
            .await;
        context
            .metrics
            .issuer_request(&self.config.expected_issuer, call, started.elapsed());
        answer
    }
}
