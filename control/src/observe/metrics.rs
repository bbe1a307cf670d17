//! Metrics for Prometheus. Labels come from the configuration and from enums only, so their number is bounded.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of [`Metrics::token_requests`] and [`Metrics::exchanges`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerOutcome {
    /// A configured server, or `unknown`.
    pub server: String,
    /// `token`, or a refusal's name; for exchanges `exchanged` or a refusal's name.
    pub outcome: &'static str,
}

/// Labels of [`Metrics::refreshes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IssuerOutcome {
    /// A configured issuer.
    pub issuer: String,
    /// `refreshed`, `dead`, `suspect`, `superseded`, or a refusal's name.
    pub outcome: &'static str,
}

/// Labels of [`Metrics::issuer_request_seconds`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IssuerCall {
    /// A configured issuer.
    pub issuer: String,
    /// `refresh`, `exchange` or `keys`.
    pub call: &'static str,
}

/// Labels of [`Metrics::issuer_answers`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IssuerAnswer {
    /// A configured issuer.
    pub issuer: String,
    /// `refresh`, `exchange` or `introspect`.
    pub call: &'static str,
    /// What the answer was taken for: `tokens`, `dead`, `denied`, `misconfigured`, `failing`, `unreachable`, `not_oauth`;
    /// of introspection `unused`, `used_up` or `not_told`.
    pub class: &'static str,
}

/// Labels of [`Metrics::issuer_circuit_open`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OneIssuer {
    /// A configured issuer.
    pub issuer: String,
}

/// Labels of [`Metrics::issuer_calls_held_back`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IssuerReason {
    /// A configured issuer.
    pub issuer: String,
    /// `circuit`, `rate` or `queue`.
    pub reason: &'static str,
}

/// Labels of [`Metrics::store_errors`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StoreOperation {
    /// `read`, `write`, `lease` …
    pub operation: &'static str,
}

/// Labels of [`Metrics::session_changes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SessionChange {
    /// `created`, `renewed`, `ended` or `signed_out`.
    pub change: &'static str,
}

/// Labels of [`Metrics::connections_closed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConnectionEnd {
    /// `late`, `idle`, `pushed_out` or `full`.
    pub cause: &'static str,
}

/// Labels of [`Metrics::intake_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IntakeCaller {
    /// `known` (has shown a credential) or `unknown`.
    pub caller: &'static str,
}

/// Labels of [`Metrics::requests_unread`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestUnread {
    /// `no_room`, `late`, `too_large` or `broke_off`.
    pub cause: &'static str,
}

/// Labels of [`Metrics::config_reloads`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reload {
    /// `applied`, `rejected` or `restart_needed`.
    pub outcome: &'static str,
}

/// All metrics of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// `tokenward_token_requests_total{server,outcome}`.
    pub token_requests: Family<ServerOutcome, Counter>,
    /// `tokenward_refreshes_total{issuer,outcome}`: presentations of a refresh token.
    pub refreshes: Family<IssuerOutcome, Counter>,
    /// `tokenward_exchanges_total{server,outcome}`: calls of a remote token endpoint.
    pub exchanges: Family<ServerOutcome, Counter>,
    /// `tokenward_issuer_request_seconds{issuer,call}`.
    pub issuer_request_seconds: Family<IssuerCall, Histogram, fn() -> Histogram>,
    /// `tokenward_issuer_answers_total{issuer,call,class}`: what answers were taken for.
    pub issuer_answers: Family<IssuerAnswer, Counter>,
    /// `tokenward_revocations_total{issuer,outcome}`: refresh tokens given back after a sign-out.
    pub revocations: Family<IssuerOutcome, Counter>,
    /// `tokenward_issuer_circuit_open{issuer}`: 1 while the issuer is left alone.
    pub issuer_circuit_open: Family<OneIssuer, Gauge>,
    /// `tokenward_issuer_calls_held_back_total{issuer,reason}`.
    pub issuer_calls_held_back: Family<IssuerReason, Counter>,
    /// `tokenward_store_errors_total{operation}`.
    pub store_errors: Family<StoreOperation, Counter>,
    /// `tokenward_session_changes_total{change}`.
    pub session_changes: Family<SessionChange, Counter>,
    /// `tokenward_connections`: how many are open.
    pub connections: Gauge,
    /// `tokenward_connections_closed_total{cause}`: those that control itself ended.
    pub connections_closed: Family<ConnectionEnd, Counter>,
    /// `tokenward_intake_bytes{caller}`: what requests hold.
    pub intake_bytes: Family<IntakeCaller, Gauge>,
    /// `tokenward_requests_unread_total{cause}`: requests that were not read to their end.
    pub requests_unread: Family<RequestUnread, Counter>,
    /// `tokenward_config_reload_total{outcome}`.
    pub config_reloads: Family<Reload, Counter>,
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
        // Prometheus sees an increase only of a sample that was there before, and the first refused reload is one to tell of.
        for outcome in ["applied", "rejected", "restart_needed"] {
            let _: &Counter = &config_reloads.get_or_create(&Reload { outcome });
        }
        let mut registry = Registry::with_prefix("tokenward");
        registry.register(
            "token_requests",
            "Token requests by server and outcome",
            token_requests.clone(),
        );
        registry.register(
            "refreshes",
            "Refresh tokens presented, by issuer and outcome",
            refreshes.clone(),
        );
        registry.register(
            "exchanges",
            "Token exchanges by server and outcome",
            exchanges.clone(),
        );
        registry.register(
            "issuer_request_seconds",
            "Time that issuers took to answer",
            issuer_request_seconds.clone(),
        );
        registry.register(
            "issuer_answers",
            "Answers of issuers by call and by what they were taken for",
            issuer_answers.clone(),
        );
        registry.register(
            "revocations",
            "Refresh tokens given back after a sign-out, by issuer and outcome",
            revocations.clone(),
        );
        registry.register(
            "issuer_circuit_open",
            "Whether the issuer is left alone because it fails everybody",
            issuer_circuit_open.clone(),
        );
        registry.register(
            "issuer_calls_held_back",
            "Calls to an issuer that were not made, by reason",
            issuer_calls_held_back.clone(),
        );
        registry.register(
            "store_errors",
            "Store operations without an answer",
            store_errors.clone(),
        );
        registry.register(
            "session_changes",
            "Sessions created, renewed and ended",
            session_changes.clone(),
        );
        registry.register("connections", "Connections that are open", connections.clone());
        registry.register(
            "connections_closed",
            "Connections that control ended itself, by cause",
            connections_closed.clone(),
        );
        registry.register(
            "intake_bytes",
            "Bytes that requests hold, by whether the caller has shown a credential",
            intake_bytes.clone(),
        );
        registry.register(
            "requests_unread",
            "Requests that were not read to their end, by cause",
            requests_unread.clone(),
        );
        registry.register(
            "config_reload",
            "Reloads of the configuration, by outcome",
            config_reloads.clone(),
        );
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
        }
    }
}

impl Metrics {
    /// One answer of the token endpoint.
    pub fn token_request(&self, server: &str, outcome: &'static str) {
        let server = server.to_owned();
        self.token_requests
            .get_or_create(&ServerOutcome { server, outcome })
            .inc();
    }

    /// One refresh.
    pub fn refresh(&self, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        self.refreshes
            .get_or_create(&IssuerOutcome { issuer, outcome })
            .inc();
    }

    /// One exchange.
    pub fn exchange(&self, server: &str, outcome: &'static str) {
        let server = server.to_owned();
        self.exchanges
            .get_or_create(&ServerOutcome { server, outcome })
            .inc();
    }

    /// One call to an issuer.
    pub fn issuer_request(&self, issuer: &str, call: &'static str, took: Duration) {
        let issuer = issuer.to_owned();
        self.issuer_request_seconds
            .get_or_create(&IssuerCall { issuer, call })
            .observe(took.as_secs_f64());
    }

    /// What an issuer's answer was taken for.
    pub fn issuer_answer(&self, issuer: &str, call: &'static str, class: &'static str) {
        let issuer = issuer.to_owned();
        self.issuer_answers
            .get_or_create(&IssuerAnswer { issuer, call, class })
            .inc();
    }

    /// What became of giving a refresh token back.
    pub fn revocation(&self, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        self.revocations
            .get_or_create(&IssuerOutcome { issuer, outcome })
            .inc();
    }

    /// The issuer is left alone, or not any more.
    pub fn issuer_circuit(&self, issuer: &str, open: bool) {
        let issuer = issuer.to_owned();
        self.issuer_circuit_open
            .get_or_create(&OneIssuer { issuer })
            .set(i64::from(open));
    }

    /// One call to an issuer that was not made.
    pub fn issuer_held_back(&self, issuer: &str, reason: &'static str) {
        let issuer = issuer.to_owned();
        self.issuer_calls_held_back
            .get_or_create(&IssuerReason { issuer, reason })
            .inc();
    }

    /// One store operation without an answer.
    pub fn store_error(&self, operation: &'static str) {
        self.store_errors
            .get_or_create(&StoreOperation { operation })
            .inc();
    }

    /// `count` sessions changed.
    pub fn session_change(&self, change: &'static str, count: u64) {
        self.session_changes
            .get_or_create(&SessionChange { change })
            .inc_by(count);
    }

    /// Control ended a connection.
    pub fn connection_closed(&self, cause: &'static str) {
        self.connections_closed
            .get_or_create(&ConnectionEnd { cause })
            .inc();
    }

    /// The gauge of what requests of `caller` hold, in bytes.
    #[must_use]
    pub fn intake_bytes_of(&self, caller: &'static str) -> Gauge {
        self.intake_bytes.get_or_create(&IntakeCaller { caller }).clone()
    }

    /// A request was not read to its end.
    pub fn request_unread(&self, cause: &'static str) {
        self.requests_unread.get_or_create(&RequestUnread { cause }).inc();
    }

    /// The configuration was, or was not, reloaded.
    pub fn config_reload(&self, outcome: &'static str) {
        self.config_reloads.get_or_create(&Reload { outcome }).inc();
    }

    /// The exposition (OpenMetrics text).
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
