//! A home issuer and one client there: refreshes of the logins that the client made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use super::answer::outcome::GrantAnswer;
use super::answer::{RawAnswer, RefreshAnswer, Transient, refuses_client};
use super::client::{ClientCredentials, Connection, Sending};
use super::discovery::{Discovery, DiscoveryFailed, is_no_endpoint};
use super::keys::IssuerKeys;
use super::limits::{CallLimits, CallOutcome, Permit, Throttled};
use super::loop_marker::LoopMarker;
use super::pace::Urgency;
use crate::config::{IssuerConfig, IssuerPolicy};
use crate::context::Context;
use crate::upstream::streak::StreakKind;

/// Permission to present one refresh token, and where.
#[derive(Debug)]
pub struct CallPermit {
    pub(super) endpoint: Url,
    pub(super) call: Permit,
}

/// Why a call is not permitted. Nothing was presented.
#[derive(Debug)]
pub enum NotPermitted {
    /// A limit of the issuer is reached, or its circuit is open.
    Throttled(Throttled),
    /// The issuer's endpoints are not available now.
    Transient(Transient),
    /// An operator must act.
    Misconfigured(String),
}

/// One issuer and one client there, which logs users in.
#[derive(Debug)]
pub struct HomeIssuer {
    /// Its configuration.
    pub config: IssuerConfig,
    /// The issuer's keys, shared by all its clients.
    pub keys: Arc<IssuerKeys>,
    pub(super) discovery: Arc<Discovery>,
    pub(super) limits: Arc<CallLimits>,
    /// Marks calls to the token endpoint if the issuer is relayed.
    pub(crate) loop_marker: Option<LoopMarker>,
    /// Whether some server needs the access tokens of its logins.
    keeps_access_tokens: AtomicBool,
}

impl HomeIssuer {
    /// The issuer of `config`. All its clients share `discovery`, the `keys` that were found with it, and the `limits`.
    #[must_use]
    pub fn new(
        config: IssuerConfig,
        discovery: Arc<Discovery>,
        keys: Arc<IssuerKeys>,
        limits: Arc<CallLimits>,
    ) -> Self {
        Self {
            loop_marker: config.relay.as_ref().map(|relay| LoopMarker::new(&config, relay)),
            config,
            keys,
            discovery,
            limits,
            keeps_access_tokens: AtomicBool::new(false),
        }
    }

    /// The wait while the issuer's circuit is open: [`CallLimits::circuit_open`].
    #[must_use]
    pub fn circuit_open(&self) -> Option<Throttled> {
        self.limits.circuit_open()
    }

    /// Finds the token endpoint, and waits until the limits permit a call for the grant with this digest.
    ///
    /// # Errors
    /// [`NotPermitted`].
    pub async fn permit(
        &self,
        context: &Context,
        grant: &str,
        urgency: Urgency,
    ) -> Result<CallPermit, NotPermitted> {
        let permit = self
            .limits
            .acquire(grant, urgency)
            .await
            .map_err(NotPermitted::Throttled)?;
        match self.discovery.token_endpoint(context).await {
            Ok(endpoint) => Ok(CallPermit {
                endpoint,
                call: permit,
            }),
            Err(DiscoveryFailed::Unusable(cause)) => {
                permit.record(CallOutcome::Answer);
                Err(NotPermitted::Misconfigured(cause))
            }
            Err(failed) => Err(self.endpoint_unavailable(permit, &failed)),
        }
    }

    /// The refusal of a call whose endpoint is not available. Only a fetch that was made counts as a failure of the issuer,
    /// and once for all the calls that waited for it: a failure returned from the cache says nothing new about its health.
    pub(super) fn endpoint_unavailable(&self, permit: Permit, failed: &DiscoveryFailed) -> NotPermitted {
        let mut transient = unreachable(failed.to_string());
        if let DiscoveryFailed::Unavailable {
            retry_after, is_new, ..
        } = failed
        {
            transient.retry_after = *retry_after;
            if *is_new && self.discovery.take_uncounted_failure() {
                permit.record(CallOutcome::Failure {
                    retry_after: *retry_after,
                });
            }
        }
        NotPermitted::Transient(transient)
    }

    /// The client's credentials, with the authentication method that the issuer accepts.
    pub(super) fn credentials(&self, context: &Context) -> ClientCredentials<'_> {
        ClientCredentials {
            issuer: &self.config.issuer,
            dialect: self.config.dialect,
            now_ms: context.clock.now_ms(),
            id: &self.config.client_id,
            secret: &self.config.client_secret,
            auth: self
                .config
                .client_auth
                .unwrap_or_else(|| self.discovery.client_auth()),
        }
    }

    /// A request that must not be sent twice uses a connection of its own.
    fn connection(&self) -> Connection {
        match self.config.policy {
            IssuerPolicy::Strict => Connection::Fresh,
            IssuerPolicy::Tolerant => Connection::Pooled,
        }
    }

    /// Has the access tokens of logins kept from now on: a server needs them.
    pub fn keep_access_tokens(&self) {
        self.keeps_access_tokens.store(true, Ordering::Relaxed);
    }

    /// Whether some server needs the access tokens of logins at this issuer.
    #[must_use]
    pub fn keeps_access_tokens(&self) -> bool {
        self.keeps_access_tokens.load(Ordering::Relaxed)
    }

    /// Whether clients of this issuer refresh through the relay.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.config.relay.is_some()
    }

    /// Presents `refresh_token` once, and records the outcome for the issuer's limits and metrics. Returns also the answer
    /// as it was received, if there was one.
    pub async fn refresh(
        &self,
        context: &Context,
        permit: CallPermit,
        refresh_token: &SecretString,
    ) -> (RefreshAnswer, Option<RawAnswer>) {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        let (answer, raw): (RefreshAnswer, _) = self.present(context, permit, &form, self.connection()).await;
        let is_client_refused =
            (raw.as_ref()).is_some_and(|answer| refuses_client(answer, self.config.dialect));
        if self.config.client_auth.is_none() && is_client_refused {
            // With a configured token_endpoint the discovery document may not have been read yet. The next attempt, half a
            // minute later, takes the client's authentication method from it.
            let (discovery, context) = (Arc::clone(&self.discovery), context.clone());
            tokio::spawn(async move { discovery.ensure_read(&context).await });
        }
        (answer, raw)
    }

    /// Presents the form of a grant once, with the client's credentials, and records the outcome for the issuer's limits and
    /// metrics. Returns also the answer as it was received, if there was one.
    pub(super) async fn present<A: GrantAnswer>(
        &self,
        context: &Context,
        permit: CallPermit,
        form: &[(&str, &str)],
        connection: Connection,
    ) -> (A, Option<RawAnswer>) {
        let started = Instant::now();
        let raw = context
            .client
            .post_form(
                &permit.endpoint,
                self.credentials(context),
                form,
                Sending::from(connection).marked(self.loop_marker.as_ref()),
            )
            .await;
        let issuer = &self.config.issuer;
        context.metrics.issuer_request(issuer, A::CALL, started.elapsed());
        if is_no_endpoint(raw.as_ref()) {
            self.discovery.reread_soon(context);
        }
        let answer = match &raw {
            Ok(answer) => A::read(answer, self.config.dialect),
            Err(failed) => A::from(failed.clone().into()),
        };
        context.metrics.issuer_answer(issuer, A::CALL, answer.class());
        permit
            .call
            .record(answer.transient().map_or(CallOutcome::Answer, CallOutcome::from));
        (answer, raw.ok())
    }
}

fn unreachable(cause: String) -> Transient {
    Transient {
        kind: StreakKind::Unreachable,
        retry_after: None,
        cause,
        perhaps_done: false,
    }
}
