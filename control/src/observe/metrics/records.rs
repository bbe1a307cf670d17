//! Metrics of what the store holds: sessions and grants, and their changes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, begin};

/// Labels of the changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    /// `created`, `renewed`, `ended` or `signed_out`.
    change: &'static str,
}

/// Labels of the gauges.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    /// Of sessions: `usable` or `needs_login`. Of grants: `active`, `suspect`, `dead` or `signed_out`.
    state: &'static str,
}

/// Records of the store by state, as one count found them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordCounts {
    /// Sessions by state.
    pub sessions: Vec<(&'static str, u64)>,
    /// Grants by state.
    pub grants: Vec<(&'static str, u64)>,
    /// When they were counted, Unix seconds.
    pub counted_at_seconds: u64,
}

/// Gauges and counters of sessions and grants. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordMetrics {
    /// `tokenward_session_changes_total{change}`.
    changes: Family<ChangeLabels, Counter>,
    /// `tokenward_sessions{state}`; absent until the first count.
    sessions: Family<StateLabels, Gauge>,
    /// `tokenward_grants{state}`; absent until the first count.
    grants: Family<StateLabels, Gauge>,
    /// `tokenward_records_counted_timestamp_seconds`; 0 before the first count.
    counted_at: Gauge,
}

impl RecordMetrics {
    /// The families, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for change in ["created", "renewed", "ended", "signed_out"] {
            begin(&metrics.changes, &ChangeLabels { change });
        }
        registry.register(
            "session_changes",
            "Sessions created, renewed and ended",
            metrics.changes.clone(),
        );
        registry.register(
            "sessions",
            "Sessions in the store, by whether a new login is needed",
            metrics.sessions.clone(),
        );
        registry.register("grants", "Grants in the store, by state", metrics.grants.clone());
        registry.register(
            "records_counted_timestamp_seconds",
            "Unix time at which sessions and grants were counted",
            metrics.counted_at.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Counts `count` session changes.
    pub fn session_change(&self, change: &'static str, count: u64) {
        self.records
            .changes
            .get_or_create(&ChangeLabels { change })
            .inc_by(count);
    }

    /// Sets the gauges of sessions and grants; without counts they disappear, because an old count looks like a fresh one.
    pub fn record_counts(&self, counts: Option<&RecordCounts>) {
        let Some(counts) = counts else {
            self.records.sessions.clear();
            self.records.grants.clear();
            return;
        };
        let gauges = [
            (&self.records.sessions, &counts.sessions),
            (&self.records.grants, &counts.grants),
        ];
        for (family, states) in gauges {
            for &(state, count) in states {
                family.get_or_create(&StateLabels { state }).set(whole(count));
            }
        }
        self.records.counted_at.set(whole(counts.counted_at_seconds));
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
