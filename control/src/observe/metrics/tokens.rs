//! Metrics of the endpoints that issue tokens, and of token exchanges.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokenward_protocol::refusal::Refusal;

use super::{Metrics, begin};

/// The outcome of a token request that was answered with a token.
const TOKEN: &str = "token";
/// The outcome of a successful exchange.
const EXCHANGED: &str = "exchanged";

/// Refusals of token requests that exist at 0 for each configured server; the others appear with their first event.
const BORN_REFUSALS: [Refusal; 8] = [
    Refusal::NeedsLogin,
    Refusal::UnknownSession,
    Refusal::Busy,
    Refusal::StoreUnavailable,
    Refusal::IssuerUnavailable,
    Refusal::IssuerMisconfigured,
    Refusal::ExchangeUnavailable,
    Refusal::ExchangeMisconfigured,
];

/// Failures of exchanges that exist at 0 for each server with an exchange.
const BORN_EXCHANGE_FAILURES: [Refusal; 4] = [
    Refusal::ExchangeUnavailable,
    Refusal::ExchangeMisconfigured,
    Refusal::IssuerMisconfigured,
    Refusal::Substitution,
];

/// Labels of token requests and exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerOutcomeLabels {
    /// A configured server, or `unknown`.
    server: String,
    /// `token`, or a refusal's name; for exchanges `exchanged` or a refusal's name.
    outcome: &'static str,
}

/// Labels of the answers' durations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    /// `token` or `refused`.
    result: &'static str,
}

/// Counters and durations of what the token endpoints answer. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct TokenMetrics {
    /// `tokenward_token_requests_total{server,outcome}`.
    requests: Family<ServerOutcomeLabels, Counter>,
    /// `tokenward_token_request_seconds{result}`.
    seconds: Family<ResultLabels, Histogram, fn() -> Histogram>,
    /// `tokenward_exchanges_total{server,outcome}`: exchange requests to remote token endpoints.
    exchanges: Family<ServerOutcomeLabels, Counter>,
}

/// From an answer out of the store to one that waits for an issuer until the caller's deadline.
fn answer_seconds() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

impl TokenMetrics {
    /// The families, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(answer_seconds as fn() -> Histogram),
            exchanges: Family::default(),
        };
        for result in [TOKEN, "refused"] {
            let _: &Histogram = &metrics.seconds.get_or_create(&ResultLabels { result });
        }
        registry.register(
            "token_requests",
            "Token requests by server and outcome",
            metrics.requests.clone(),
        );
        registry.register(
            "token_request_seconds",
            "Time to answer a token request in seconds, by whether it was answered with a token",
            metrics.seconds.clone(),
        );
        registry.register(
            "exchanges",
            "Token exchanges by server and outcome",
            metrics.exchanges.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Makes the counters of a configured server exist at 0.
    pub fn known_server(&self, server: &str, has_exchange: bool) {
        let labels = |outcome| ServerOutcomeLabels {
            server: server.to_owned(),
            outcome,
        };
        begin(&self.tokens.requests, &labels(TOKEN));
        for refusal in BORN_REFUSALS {
            begin(&self.tokens.requests, &labels(refusal.name()));
        }
        if has_exchange {
            begin(&self.tokens.exchanges, &labels(EXCHANGED));
            for failure in BORN_EXCHANGE_FAILURES {
                begin(&self.tokens.exchanges, &labels(failure.name()));
            }
        }
    }

    /// Removes the counters of a server that no configuration names any more.
    pub fn forget_server(&self, server: &str) {
        let outcomes = Refusal::ALL.iter().map(|refusal| refusal.name());
        for outcome in outcomes.chain([TOKEN, EXCHANGED]) {
            let server = server.to_owned();
            let labels = ServerOutcomeLabels { server, outcome };
            self.tokens.requests.remove(&labels);
            self.tokens.exchanges.remove(&labels);
        }
    }

    /// Counts a response of the token endpoint.
    pub fn token_request(&self, server: &str, outcome: &'static str) {
        let server = server.to_owned();
        self.tokens
            .requests
            .get_or_create(&ServerOutcomeLabels { server, outcome })
            .inc();
    }

    /// Records how long the answer to a token request took, and whether it has a token.
    pub fn token_answered(&self, has_token: bool, took: Duration) {
        let result = if has_token { TOKEN } else { "refused" };
        self.tokens
            .seconds
            .get_or_create(&ResultLabels { result })
            .observe(took.as_secs_f64());
    }

    /// Counts an exchange.
    pub fn exchange(&self, server: &str, outcome: &'static str) {
        let server = server.to_owned();
        self.tokens
            .exchanges
            .get_or_create(&ServerOutcomeLabels { server, outcome })
            .inc();
    }
}
