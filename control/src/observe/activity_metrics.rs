//! Metrics of the activity and the audit log.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

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

impl Default for ActivityMetrics {
    fn default() -> Self {
        let dropped = Family::<DroppedLabels, Counter>::default();
        // Prometheus detects an increase only of an existing sample.
        for log in ["activity", "audit"] {
            let _: &Counter = &dropped.get_or_create(&DroppedLabels { log });
        }
        Self { dropped }
    }
}

impl ActivityMetrics {
    /// Adds the family to `registry`.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "events_dropped",
            "Events that are missing in the activity or in the audit log",
            self.dropped.clone(),
        );
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
