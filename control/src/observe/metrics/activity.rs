//! Metrics of the activity and the audit log.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::begin;

/// Labels of [`ActivityMetrics::dropped`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DroppedLabels {
    /// `activity` or `audit`.
    log: &'static str,
}

/// Counters of what was recorded nowhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ActivityMetrics {
    /// `tokenward_events_dropped_total{log}`.
    dropped: Family<DroppedLabels, Counter>,
}

impl ActivityMetrics {
    /// The family, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let dropped = Family::default();
        for log in ["activity", "audit"] {
            begin(&dropped, &DroppedLabels { log });
        }
        registry.register(
            "events_dropped",
            "Events that are missing in the activity or in the audit log",
            dropped.clone(),
        );
        Self { dropped }
    }

    /// Counts an event that is missing in `log`.
    pub fn dropped(&self, log: &'static str) {
        self.dropped_counter(log).inc();
    }

    /// The counter of events that are missing in `log`.
    #[must_use]
    pub fn dropped_counter(&self, log: &'static str) -> Counter {
        self.dropped.get_or_create(&DroppedLabels { log }).clone()
    }
}
