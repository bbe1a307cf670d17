//! Metrics of the relay.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::begin;

/// Labels of all families.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RelayLabels {
    /// A configured issuer.
    issuer: String,
    /// Of refreshes: `stored`, `refreshed`, `ended`, or a refusal's name. Of logins: `learned`, `not_learned`,
    /// `store_unavailable`, `repeated`, `unknown`, `attached`, `kept_apart` or `rotated_elsewhere`. Of passed requests:
    /// `answered`, `login`, `unavailable` or `loop`.
    outcome: &'static str,
}

/// Counters of what the relay did for an issuer's clients. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RelayMetrics {
    /// `tokenward_relay_refreshes_total{issuer,outcome}`: clients' refreshes by how they were answered.
    refreshes: Family<RelayLabels, Counter>,
    /// `tokenward_relay_logins_total{issuer,outcome}`: logins by how they became known.
    logins: Family<RelayLabels, Counter>,
    /// `tokenward_relay_passed_total{issuer,outcome}`: requests for the issuer itself.
    passed: Family<RelayLabels, Counter>,
}

impl RelayMetrics {
    /// The families, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "relay_refreshes",
            "Refreshes of clients of the relay by issuer and outcome",
            metrics.refreshes.clone(),
        );
        registry.register(
            "relay_logins",
            "Logins that the relay came to know, by issuer and outcome",
            metrics.logins.clone(),
        );
        registry.register(
            "relay_passed",
            "Requests that the relay passed to the issuer, by issuer and outcome",
            metrics.passed.clone(),
        );
        metrics
    }

    /// Makes the counters of an issuer with a relay exist at 0.
    pub fn known_issuer(&self, issuer: &str) {
        let families = [
            (&self.refreshes, &["stored", "refreshed", "ended"][..]),
            (&self.logins, &["learned", "attached", "rotated_elsewhere"][..]),
            (&self.passed, &["answered", "login", "unavailable", "loop"][..]),
        ];
        for (family, outcomes) in families {
            for &outcome in outcomes {
                let issuer = issuer.to_owned();
                begin(family, &RelayLabels { issuer, outcome });
            }
        }
    }

    /// Counts a client's refresh.
    pub fn refresh(&self, issuer: &str, outcome: &'static str) {
        Self::count(&self.refreshes, issuer, outcome);
    }

    /// Counts a login.
    pub fn login(&self, issuer: &str, outcome: &'static str) {
        Self::count(&self.logins, issuer, outcome);
    }

    /// Counts a request that was passed to the issuer, or would have been.
    pub fn passed(&self, issuer: &str, outcome: &'static str) {
        Self::count(&self.passed, issuer, outcome);
    }

    fn count(family: &Family<RelayLabels, Counter>, issuer: &str, outcome: &'static str) {
        let issuer = issuer.to_owned();
        family.get_or_create(&RelayLabels { issuer, outcome }).inc();
    }
}
