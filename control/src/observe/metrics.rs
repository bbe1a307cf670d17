//! Prometheus metrics. Label values come from the configuration and from enums only, so their number is bounded.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::authorization_metrics::AuthorizationMetrics;
use super::relay_metrics::RelayMetrics;
use super::tls_metrics::TlsMetrics;

/// Labels of [`Metrics::token_requests`] and [`Metrics::exchanges`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServerOutcomeLabels {
    /// A configured server, or `unknown`.
    server: String,
    /// `token`, or a refusal's name; for exchanges `exchanged` or a refusal's name.
    outcome: &'static str,
}

/// Labels of [`Metrics::refreshes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerOutcomeLabels {
    /// A configured issuer.
    issuer: String,
    /// `refreshed`, `dead`, `suspect`, `superseded`, or a refusal's name.
    outcome: &'static str,
}

/// Labels of [`Metrics::issuer_request_seconds`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerCallLabels {
    /// A configured issuer.
    issuer: String,
    /// `refresh`, `exchange` or `keys`.
    call: &'static str,
}

/// Labels of [`Metrics::issuer_answers`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerAnswerLabels {
    /// A configured issuer.
    issuer: String,
    /// `refresh`, `exchange` or `introspect`.
    call: &'static str,
    /// How the answer was classified: `tokens`, `dead`, `denied`, `misconfigured`, `failing`, `unreachable`, `not_oauth`;
    /// of introspection `unused`, `used_up` or `not_told`.
    class: &'static str,
}

/// Labels of [`Metrics::issuer_circuit_open`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabel {
    /// A configured issuer.
    issuer: String,
}

/// Labels of [`Metrics::issuer_calls_held_back`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ThrottledCallLabels {
    /// A configured issuer.
    issuer: String,
    /// `circuit`, `rate` or `queue`.
    reason: &'static str,
}

/// Labels of [`Metrics::store_errors`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreErrorLabels {
    /// `read`, `write`, `lease` …
    operation: &'static str,
}

/// Labels of [`Metrics::session_changes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SessionChangeLabels {
    /// `created`, `renewed`, `ended` or `signed_out`.
    change: &'static str,
}

/// Labels of [`Metrics::connections_closed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionClosedLabels {
    /// `late`, `idle`, `pushed_out`, `no_handshake` or `full`.
    cause: &'static str,
}

/// Labels of [`Metrics::intake_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IntakeBytesLabels {
    /// `known` (has presented a valid credential) or `unknown`.
    caller: &'static str,
}

/// Labels of [`Metrics::requests_unread`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestUnreadLabels {
    /// `no_room`, `late`, `too_large` or `broke_off`.
    cause: &'static str,
}

/// Labels of [`Metrics::config_reloads`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConfigReloadLabels {
    /// `applied`, `rejected` or `restart_needed`.
    outcome: &'static str,
}

/// All metrics of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// `tokenward_token_requests_total{server,outcome}`.
    token_requests: Family<ServerOutcomeLabels, Counter>,
    /// `tokenward_refreshes_total{issuer,outcome}`: refresh requests.
    refreshes: Family<IssuerOutcomeLabels, Counter>,
    /// `tokenward_exchanges_total{server,outcome}`: exchange requests to remote token endpoints.
    exchanges: Family<ServerOutcomeLabels, Counter>,
    /// `tokenward_issuer_request_seconds{issuer,call}`.
    issuer_request_seconds: Family<IssuerCallLabels, Histogram, fn() -> Histogram>,
    /// `tokenward_issuer_answers_total{issuer,call,class}`: answers by classification.
    issuer_answers: Family<IssuerAnswerLabels, Counter>,
    /// `tokenward_revocations_total{issuer,outcome}`: refresh tokens revoked after a sign-out.
    revocations: Family<IssuerOutcomeLabels, Counter>,
    /// `tokenward_issuer_circuit_open{issuer}`: 1 while the circuit breaker suspends calls to the issuer.
    issuer_circuit_open: Family<IssuerLabel, Gauge>,
    /// `tokenward_issuer_calls_held_back_total{issuer,reason}`.
    issuer_calls_held_back: Family<ThrottledCallLabels, Counter>,
    /// `tokenward_store_errors_total{operation}`.
    store_errors: Family<StoreErrorLabels, Counter>,
    /// `tokenward_session_changes_total{change}`.
    session_changes: Family<SessionChangeLabels, Counter>,
    /// `tokenward_connections`: open connections.
    pub connections: Gauge,
    /// `tokenward_connections_closed_total{cause}`: connections closed by control.
    connections_closed: Family<ConnectionClosedLabels, Counter>,
    /// `tokenward_intake_bytes{caller}`: bytes held by requests in progress.
    intake_bytes: Family<IntakeBytesLabels, Gauge>,
    /// `tokenward_requests_unread_total{cause}`: requests whose body was not read completely.
    requests_unread: Family<RequestUnreadLabels, Counter>,
    /// `tokenward_config_reload_total{outcome}`.
    config_reloads: Family<ConfigReloadLabels, Counter>,
    /// Those of the relay.
    pub relay: RelayMetrics,
    /// Those of our own authorization server.
    pub authorization: AuthorizationMetrics,
    /// Those of the listeners' certificates.
    pub tls: TlsMetrics,
}

fn seconds_histogram() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 35.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let token_requests = Family::default();
        let refreshes = Family::default();
        let exchanges = Family::default();
        let issuer_request_seconds = Family::new_with_constructor(seconds_histogram as fn() -> Histogram);
        let issuer_answers = Family::default();
        let revocations = Family::default();
        let issuer_circuit_open = Family::default();
        let issuer_calls_held_back = Family::default();
        let store_errors = Family::default();
        let session_changes = Family::default();
        let connections = Gauge::default();
        let connections_closed = Family::default();
        let intake_bytes = Family::default();
        let requests_unread = Family::default();
        let config_reloads = Family::default();
        // Prometheus detects an increase only of an existing sample, and the alert must fire for the first rejected reload.
        for outcome in ["applied", "rejected", "restart_needed"] {
            let _: &Counter = &config_reloads.get_or_create(&ConfigReloadLabels { outcome });
        }
        let mut registry = Registry::with_prefix("tokenward");
        registry.register(
            "token_requests",
            "Token requests by server and outcome",
            token_requests.clone(),
        );
        registry.register(
            "refreshes",
            "Refresh requests by issuer and outcome",
            refreshes.clone(),
        );
        registry.register(
            "exchanges",
            "Token exchanges by server and outcome",
            exchanges.clone(),
        );
        registry.register(
            "issuer_request_seconds",
            "Response time of issuers in seconds",
            issuer_request_seconds.clone(),
        );
        registry.register(
            "issuer_answers",
            "Answers of issuers by call and classification",
            issuer_answers.clone(),
        );
        registry.register(
            "revocations",
            "Refresh tokens revoked after a sign-out, by issuer and outcome",
            revocations.clone(),
        );
        registry.register(
            "issuer_circuit_open",
            "Whether the circuit breaker suspends calls to the issuer",
            issuer_circuit_open.clone(),
        );
        registry.register(
            "issuer_calls_held_back",
            "Calls to an issuer that were throttled, by reason",
            issuer_calls_held_back.clone(),
        );
        registry.register("store_errors", "Failed store operations", store_errors.clone());
        registry.register(
            "session_changes",
            "Sessions created, renewed and ended",
            session_changes.clone(),
        );
        registry.register("connections", "Open connections", connections.clone());
        registry.register(
            "connections_closed",
            "Connections closed by control, by cause",
            connections_closed.clone(),
        );
        registry.register(
            "intake_bytes",
            "Bytes held by requests in progress, by whether the caller has presented a credential",
            intake_bytes.clone(),
        );
        registry.register(
            "requests_unread",
            "Requests whose body was not read completely, by cause",
            requests_unread.clone(),
        );
        registry.register(
            "config_reload",
            "Configuration reloads by outcome",
            config_reloads.clone(),
        );
        let relay = RelayMetrics::default();
        relay.register(&mut registry);
        let authorization = AuthorizationMetrics::default();
        authorization.register(&mut registry);
        let tls = TlsMetrics::registered(&mut registry);
        Self {
            registry: Arc::new(registry),
            token_requests,
            refreshes,
            exchanges,
            issuer_request_seconds,
            issuer_answers,
            revocations,
            issuer_circuit_open,
            issuer_calls_held_back,
            store_errors,
            session_changes,
            connections,
            connections_closed,
            intake_bytes,
            requests_unread,
            config_reloads,
            relay,
            authorization,
            tls,
        }
    }
}

impl Metrics {
    /// Counts a response of the token endpoint.
    pub fn token_request(&self, server: &str, outcome: &'static str) {
        let server = server.to_owned();
        self.token_requests
            .get_or_create(&ServerOutcomeLabels { server, outcome })
            .inc();
    }

    /// Counts a refresh.
    pub fn refresh(&self, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        self.refreshes
            .get_or_create(&IssuerOutcomeLabels { issuer, outcome })
            .inc();
    }

    /// Counts an exchange.
    pub fn exchange(&self, server: &str, outcome: &'static str) {
        let server = server.to_owned();
        self.exchanges
            .get_or_create(&ServerOutcomeLabels { server, outcome })
            .inc();
    }

    /// Records the duration of a call to an issuer.
    pub fn issuer_request(&self, issuer: &str, call: &'static str, took: Duration) {
        let issuer = issuer.to_owned();
        self.issuer_request_seconds
            .get_or_create(&IssuerCallLabels { issuer, call })
            .observe(took.as_secs_f64());
    }

    /// Counts an issuer's answer by its classification.
    pub fn issuer_answer(&self, issuer: &str, call: &'static str, class: &'static str) {
        let issuer = issuer.to_owned();
        self.issuer_answers
            .get_or_create(&IssuerAnswerLabels { issuer, call, class })
            .inc();
    }

    /// Counts the outcome of revoking a refresh token.
    pub fn revocation(&self, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        self.revocations
            .get_or_create(&IssuerOutcomeLabels { issuer, outcome })
            .inc();
    }

    /// Sets whether the circuit breaker suspends calls to the issuer.
    pub fn issuer_circuit(&self, issuer: &str, open: bool) {
        let issuer = issuer.to_owned();
        self.issuer_circuit_open
            .get_or_create(&IssuerLabel { issuer })
            .set(i64::from(open));
    }

    /// Counts a throttled call to an issuer.
    pub fn issuer_held_back(&self, issuer: &str, reason: &'static str) {
        let issuer = issuer.to_owned();
        self.issuer_calls_held_back
            .get_or_create(&ThrottledCallLabels { issuer, reason })
            .inc();
    }

    /// Counts a failed store operation.
    pub fn store_error(&self, operation: &'static str) {
        self.store_errors
            .get_or_create(&StoreErrorLabels { operation })
            .inc();
    }

    /// Counts a response of an endpoint of our own authorization server.
    pub fn authorization_request(&self, endpoint: &'static str, outcome: &'static str) {
        self.authorization.request(endpoint, outcome);
    }

    /// Counts `count` session changes.
    pub fn session_change(&self, change: &'static str, count: u64) {
        self.session_changes
            .get_or_create(&SessionChangeLabels { change })
            .inc_by(count);
    }

    /// Counts a connection closed by control.
    pub fn connection_closed(&self, cause: &'static str) {
        self.connections_closed
            .get_or_create(&ConnectionClosedLabels { cause })
            .inc();
    }

    /// The gauge of the bytes held by requests of `caller`.
    #[must_use]
    pub fn intake_bytes_of(&self, caller: &'static str) -> Gauge {
        self.intake_bytes
            .get_or_create(&IntakeBytesLabels { caller })
            .clone()
    }

    /// Counts a request whose body was not read completely.
    pub fn request_unread(&self, cause: &'static str) {
        self.requests_unread
            .get_or_create(&RequestUnreadLabels { cause })
            .inc();
    }

    /// Counts a configuration reload.
    pub fn config_reload(&self, outcome: &'static str) {
        self.config_reloads
            .get_or_create(&ConfigReloadLabels { outcome })
            .inc();
    }

    /// The metrics in the OpenMetrics text format.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
