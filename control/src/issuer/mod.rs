//! What is said to and heard from an OpenID Connect issuer.
//!
//! [`answer`] is the table of what an answer means, [`client`] makes the calls, [`discovery`] finds the endpoints,
//! [`keys`] and [`verify`] check signatures.

pub mod answer;
pub mod client;
pub mod discovery;
pub mod keys;
mod proven;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::token_endpoint::{GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_ID_TOKEN};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::answer::{ExchangeAnswer, RefreshAnswer, Transient, read_exchange, read_refresh};
use self::client::{ClientCredentials, IssuerClient};
use self::discovery::{Discovery, DiscoveryFailed};
use self::keys::IssuerKeys;
use crate::clock::Clock;
use crate::config::{ExchangeConfig, IssuerConfig};
use crate::metrics::Metrics;
use crate::seal::KeyRing;
use crate::store::Store;
use crate::streak::StreakKind;

/// What everything that speaks to issuers shares.
#[derive(Clone)]
pub struct Context {
    /// The HTTP client.
    pub client: IssuerClient,
    /// Where past keys are remembered.
    pub store: Arc<dyn Store>,
    /// Seals them.
    pub ring: Arc<KeyRing>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counts and times calls.
    pub metrics: Metrics,
    /// How long a key that was rotated away still proves a subject.
    pub past_key_grace: Duration,
}

/// Calls that may be under way at one issuer at the same time.
const MOST_CALLS: usize = 32;

/// One issuer and client whose logins are kept.
#[derive(Debug)]
pub struct HomeIssuer {
    /// What is configured.
    pub config: IssuerConfig,
    /// Its keys; shared by all its clients.
    pub keys: Arc<IssuerKeys>,
    discovery: Arc<Discovery>,
    calls: Semaphore,
}

impl HomeIssuer {
    /// The issuer of `config`, with `keys` found through the same `discovery`.
    #[must_use]
    pub fn new(config: IssuerConfig, discovery: Arc<Discovery>, keys: Arc<IssuerKeys>) -> Self {
        Self {
            config,
            keys,
            discovery,
            calls: Semaphore::new(MOST_CALLS),
        }
    }

    /// Presents `refresh_token` once.
    pub async fn refresh(&self, context: &Context, refresh_token: &SecretString) -> RefreshAnswer {
        let endpoint = match self.discovery.token_endpoint(&context.client).await {
            Ok(endpoint) => endpoint,
            Err(DiscoveryFailed::Unusable(cause)) => return RefreshAnswer::Misconfigured(cause),
            Err(failed @ DiscoveryFailed::Unavailable(_)) => {
                return RefreshAnswer::Transient(unreachable(failed.to_string()));
            }
        };
        let Ok(_call) = self.calls.acquire().await else {
            return RefreshAnswer::Transient(unreachable("shutting down".to_owned()));
        };
        let credentials = ClientCredentials {
            id: &self.config.client_id,
            secret: &self.config.client_secret,
        };
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        let started = Instant::now();
        let answer = context.client.post_form(&endpoint, credentials, &form).await;
        context
            .metrics
            .issuer_request(&self.config.issuer, "refresh", started.elapsed());
        match answer {
            Ok(answer) => read_refresh(&answer),
            Err(failed) => RefreshAnswer::Transient(failed.into()),
        }
    }
}

/// A remote issuer, as the exchange of one server sees it.
#[derive(Debug)]
pub struct RemoteIssuer {
    /// What is configured.
    pub config: ExchangeConfig,
    /// Its keys.
    pub keys: Arc<IssuerKeys>,
    calls: Semaphore,
}

impl RemoteIssuer {
    /// The remote of `config`, verified with `keys`.
    #[must_use]
    pub fn new(config: ExchangeConfig, keys: Arc<IssuerKeys>) -> Self {
        Self {
            config,
            keys,
            calls: Semaphore::new(MOST_CALLS),
        }
    }

    /// Exchanges `subject_token` (RFC 8693 §2.1, with Dex's `connector_id`).
    pub async fn exchange(&self, context: &Context, subject_token: &SecretString) -> ExchangeAnswer {
        let Ok(_call) = self.calls.acquire().await else {
            return ExchangeAnswer::Transient(unreachable("shutting down".to_owned()));
        };
        let credentials = ClientCredentials {
            id: &self.config.client_id,
            secret: &self.config.client_secret,
        };
        let form = [
            ("grant_type", GRANT_TYPE_TOKEN_EXCHANGE),
            ("connector_id", self.config.connector_id.as_str()),
            ("scope", self.config.scopes.as_str()),
            ("requested_token_type", TOKEN_TYPE_ID_TOKEN),
            ("subject_token_type", TOKEN_TYPE_ID_TOKEN),
            ("subject_token", subject_token.expose_secret()),
        ];
        let started = Instant::now();
        let answer = context
            .client
            .post_form(&self.config.token_endpoint, credentials, &form)
            .await;
        context
            .metrics
            .issuer_request(&self.config.expected_issuer, "exchange", started.elapsed());
        match answer {
            Ok(answer) => read_exchange(&answer),
            Err(failed) => ExchangeAnswer::Transient(failed.into()),
        }
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
