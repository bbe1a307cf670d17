//! Metrics of the calls to issuers: refreshes, answers, limits, revocations.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Metrics, begin};

/// Outcomes of refreshes that exist at 0 for each issuer at which users log in.
const BORN_REFRESHES: [&str; 9] = [
    "refreshed",
    "dead",
    "suspect",
    "superseded",
    "lost",
    "put_back",
    "issuer_unavailable",
    "issuer_misconfigured",
    "substitution",
];

/// Reasons for which a call is held back; all exist at 0.
const HELD_BACK: [&str; 3] = ["circuit", "rate", "queue"];

/// The call to an issuer at which only exchanges take place.
const EXCHANGE: &str = "exchange";

/// How answers to it are classified.
const EXCHANGE_CLASSES: [&str; 6] = [
    "tokens",
    "denied",
    "misconfigured",
    "failing",
    "unreachable",
    "not_oauth",
];

/// Labels of refreshes and revocations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerOutcomeLabels {
    /// A configured issuer.
    issuer: String,
    /// `refreshed`, `dead`, `suspect`, `superseded`, `lost`, `put_back`, or a refusal's name.
    outcome: &'static str,
}

/// Labels of the issuers' response times.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerCallLabels {
    /// A configured issuer.
    issuer: String,
    /// `refresh`, `exchange`, `keys`, `introspect`, `relay` or `login`.
    call: &'static str,
}

/// Labels of the issuers' answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerAnswerLabels {
    /// A configured issuer.
    issuer: String,
    /// `refresh`, `exchange`, `introspect` or `login`.
    call: &'static str,
    /// How the answer was classified: `tokens`, `dead`, `denied`, `misconfigured`, `failing`, `unreachable`, `not_oauth`;
    /// of introspection `unused`, `used_up` or `not_told`, of an exchanged token `active` or `not_active`.
    class: &'static str,
}

/// Labels of the circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabel {
    /// A configured issuer.
    issuer: String,
}

/// Labels of throttled calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ThrottledCallLabels {
    /// A configured issuer.
    issuer: String,
    /// `circuit`, `rate` or `queue`.
    reason: &'static str,
}

/// What issuers answer, and what is not sent to them. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct IssuerMetrics {
    /// `tokenward_refreshes_total{issuer,outcome}`: refresh requests.
    refreshes: Family<IssuerOutcomeLabels, Counter>,
    /// `tokenward_issuer_request_seconds{issuer,call}`.
    seconds: Family<IssuerCallLabels, Histogram, fn() -> Histogram>,
    /// `tokenward_issuer_answers_total{issuer,call,class}`: answers by classification.
    answers: Family<IssuerAnswerLabels, Counter>,
    /// `tokenward_revocations_total{issuer,outcome}`: refresh tokens revoked after a sign-out.
    revocations: Family<IssuerOutcomeLabels, Counter>,
    /// `tokenward_issuer_circuit_open{issuer}`: 1 while the circuit breaker suspends calls to the issuer.
    circuit_open: Family<IssuerLabel, Gauge>,
    /// `tokenward_issuer_calls_held_back_total{issuer,reason}`.
    held_back: Family<ThrottledCallLabels, Counter>,
}

/// Up to the longest `issuer_timeout` that is usual.
fn response_seconds() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 35.0,
    ])
}

impl IssuerMetrics {
    /// The families, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            refreshes: Family::default(),
            seconds: Family::new_with_constructor(response_seconds as fn() -> Histogram),
            answers: Family::default(),
            revocations: Family::default(),
            circuit_open: Family::default(),
            held_back: Family::default(),
        };
        registry.register(
            "refreshes",
            "Refresh requests by issuer and outcome",
            metrics.refreshes.clone(),
        );
        registry.register(
            "issuer_request_seconds",
            "Response time of issuers in seconds",
            metrics.seconds.clone(),
        );
        registry.register(
            "issuer_answers",
            "Answers of issuers by call and classification",
            metrics.answers.clone(),
        );
        registry.register(
            "revocations",
            "Refresh tokens revoked after a sign-out, by issuer and outcome",
            metrics.revocations.clone(),
        );
        registry.register(
            "issuer_circuit_open",
            "Whether the circuit breaker suspends calls to the issuer",
            metrics.circuit_open.clone(),
        );
        registry.register(
            "issuer_calls_held_back",
            "Calls to an issuer that were throttled, by reason",
            metrics.held_back.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Makes the counters of an issuer at which users log in exist at 0.
    pub fn known_home_issuer(&self, issuer: &str) {
        for outcome in BORN_REFRESHES {
            let issuer = issuer.to_owned();
            begin(&self.issuers.refreshes, &IssuerOutcomeLabels { issuer, outcome });
        }
        self.known_issuer(issuer, "refresh");
    }

    /// Makes the counters of an issuer that is called for `call` exist at 0.
    fn known_issuer(&self, issuer: &str, call: &'static str) {
        for reason in HELD_BACK {
            let issuer = issuer.to_owned();
            begin(&self.issuers.held_back, &ThrottledCallLabels { issuer, reason });
        }
        let issuer = issuer.to_owned();
        let class = "tokens";
        let answer = IssuerAnswerLabels {
            issuer: issuer.clone(),
            call,
            class,
        };
        begin(&self.issuers.answers, &answer);
        let _: &Histogram = &self
            .issuers
            .seconds
            .get_or_create(&IssuerCallLabels { issuer, call });
    }

    /// Makes the counters of an issuer of exchanges exist at 0.
    pub fn known_remote_issuer(&self, issuer: &str) {
        self.known_issuer(issuer, EXCHANGE);
    }

    /// Removes what there is of an issuer of exchanges that no configuration names any more.
    pub fn forget_remote_issuer(&self, issuer: &str) {
        let metrics = &self.issuers;
        let issuer = || issuer.to_owned();
        for reason in HELD_BACK {
            let labels = ThrottledCallLabels {
                issuer: issuer(),
                reason,
            };
            metrics.held_back.remove(&labels);
        }
        for class in EXCHANGE_CLASSES {
            let labels = IssuerAnswerLabels {
                issuer: issuer(),
                call: EXCHANGE,
                class,
            };
            metrics.answers.remove(&labels);
        }
        // Exchanged tokens are verified with its keys.
        for call in [EXCHANGE, "keys"] {
            let labels = IssuerCallLabels {
                issuer: issuer(),
                call,
            };
            metrics.seconds.remove(&labels);
        }
        metrics.circuit_open.remove(&IssuerLabel { issuer: issuer() });
    }

    /// Counts a refresh.
    pub fn refresh(&self, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        self.issuers
            .refreshes
            .get_or_create(&IssuerOutcomeLabels { issuer, outcome })
            .inc();
    }

    /// Records the duration of a call to an issuer.
    pub fn issuer_request(&self, issuer: &str, call: &'static str, took: Duration) {
        let issuer = issuer.to_owned();
        self.issuers
            .seconds
            .get_or_create(&IssuerCallLabels { issuer, call })
            .observe(took.as_secs_f64());
    }

    /// Counts an issuer's answer by its classification.
    pub fn issuer_answer(&self, issuer: &str, call: &'static str, class: &'static str) {
        let issuer = issuer.to_owned();
        self.issuers
            .answers
            .get_or_create(&IssuerAnswerLabels { issuer, call, class })
            .inc();
    }

    /// Counts the outcome of revoking a refresh token.
    pub fn revocation(&self, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        self.issuers
            .revocations
            .get_or_create(&IssuerOutcomeLabels { issuer, outcome })
            .inc();
    }

    /// Sets whether the circuit breaker suspends calls to the issuer.
    pub fn issuer_circuit(&self, issuer: &str, open: bool) {
        let issuer = issuer.to_owned();
        self.issuers
            .circuit_open
            .get_or_create(&IssuerLabel { issuer })
            .set(i64::from(open));
    }

    /// Counts a throttled call to an issuer.
    pub fn issuer_held_back(&self, issuer: &str, reason: &'static str) {
        let issuer = issuer.to_owned();
        self.issuers
            .held_back
            .get_or_create(&ThrottledCallLabels { issuer, reason })
            .inc();
    }
}
