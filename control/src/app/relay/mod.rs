//! The relay's edge: which requests are for an issuer's public token endpoint, and how they reach the issuer.

mod account;
mod endpoint;
mod login;
mod passed;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

pub(crate) use self::account::Account;
pub(crate) use self::endpoint::{RelayEndpoint, end_to_end};
pub(crate) use self::login::{LoginAnswer, RelayedLogin};
pub(crate) use self::passed::PassedAnswer;

use super::Service;
use crate::coordination::singleflight::SingleFlight;
use crate::digest;
use crate::observe::throttle::Emit;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::client::{CallFailed, ClientUnusable};
use crate::upstream::issuer::passing::PassingClient;

const UNREACHABLE: &str = "the relay does not reach the issuer's token_endpoint";

/// The relayed issuers of one configuration.
pub(crate) struct RelayEdge {
    endpoints: Vec<Arc<RelayEndpoint>>,
    client: PassingClient,
    /// Logins that are passed at the moment, by the digest of their request.
    logins: SingleFlight<LoginAnswer>,
}

impl RelayEdge {
    /// The relays of `homes`.
    ///
    /// # Errors
    /// [`ClientUnusable`].
    pub(super) fn new(homes: &[Arc<HomeIssuer>]) -> Result<Self, ClientUnusable> {
        Ok(Self {
            endpoints: RelayEndpoint::of_all(homes).into_iter().map(Arc::new).collect(),
            client: PassingClient::new()?,
            logins: SingleFlight::default(),
        })
    }

    /// The public endpoint at which a request for `authority` and `path` arrives.
    pub(crate) fn at(&self, authority: &str, path: &str) -> Option<&Arc<RelayEndpoint>> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.is_at(authority, path))
    }

    /// Whether there is no relay at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Returns when no login is being passed.
    pub(super) async fn finished(&self) {
        self.logins.finished().await;
    }
}

impl Service {
    /// Passes `request`, made by [`RelayEndpoint::outgoing`], and waits at most `patience` for the head of the answer.
    ///
    /// # Errors
    /// [`CallFailed`].
    pub(crate) async fn pass(
        &self,
        endpoint: &RelayEndpoint,
        request: Request<Body>,
        patience: Duration,
    ) -> Result<Response<Incoming>, CallFailed> {
        let started = Instant::now();
        let passed = self.relay_edge.client.send(request, patience).await;
        self.context
            .metrics
            .issuer_request(&endpoint.issuer, "relay", started.elapsed());
        self.log_passed(endpoint, passed.as_ref().err());
        passed
    }

    /// At most one WARN a minute for each relayed issuer that does not answer, and INFO once it does. A connection that broke
    /// is no evidence: what the client sent can be the reason.
    fn log_passed(&self, endpoint: &RelayEndpoint, failed: Option<&CallFailed>) {
        let now_ms = self.context.clock.now_ms();
        let issuer = endpoint.issuer.as_str();
        let key = || digest::hex_of_parts(&["relay", issuer]);
        match failed {
            None if self.throttle.is_calm(now_ms) => {}
            None => {
                if let Some(suppressed) = self.throttle.recovered(&key()) {
                    tracing::info!(issuer, suppressed, "the relay reaches the issuer again");
                }
            }
            Some(CallFailed::Broken) => {
                tracing::debug!(issuer, "a relayed request got no answer from the issuer");
            }
            Some(cause) => match self.throttle.failed(&key(), now_ms) {
                Emit::Warn { suppressed } => tracing::warn!(issuer, %cause, suppressed, "{UNREACHABLE}"),
                Emit::Debug => tracing::debug!(issuer, %cause, "{UNREACHABLE}"),
            },
        }
    }

    /// Logs that a relayed request came back: at most one ERROR a minute for each issuer.
    pub(crate) fn log_relay_loop(&self, endpoint: &RelayEndpoint) {
        let issuer = endpoint.issuer.as_str();
        let key = digest::hex_of_parts(&["relay loop", issuer]);
        match self.throttle.failed(&key, self.context.clock.now_ms()) {
            Emit::Warn { suppressed } => tracing::error!(
                issuer,
                suppressed,
                "a relayed request came back to control: token_endpoint leads to the relay; name the issuer's own address"
            ),
            Emit::Debug => tracing::debug!(issuer, "a relayed request came back to control"),
        }
    }
}
