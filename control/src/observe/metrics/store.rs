//! Metrics of the store's operations.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Metrics, begin};

/// The operations that answering requests needs; their samples exist at 0.
const BORN_OPERATIONS: [&str; 9] = [
    "read",
    "write",
    "delete",
    "add_member",
    "remove_member",
    "members",
    "acquire_lease",
    "release_lease",
    "ping",
];

/// Labels of both families.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    /// `read`, `write`, `acquire_lease` …
    operation: &'static str,
}

/// Durations and failures of store operations. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct StoreMetrics {
    /// `tokenward_store_operation_seconds{operation}`.
    seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    /// `tokenward_store_errors_total{operation}`.
    errors: Family<OperationLabels, Counter>,
    /// `tokenward_store_recent_reads_total`.
    recent_reads: Counter,
    /// `tokenward_store_recent_bytes`.
    recent_bytes: Gauge,
}

/// From an answer on the same node to the longest `store.deadline` that is usual.
fn operation_seconds() -> Histogram {
    Histogram::new([
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    ])
}

impl StoreMetrics {
    /// The families, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            seconds: Family::new_with_constructor(operation_seconds as fn() -> Histogram),
            errors: Family::default(),
            recent_reads: Counter::default(),
            recent_bytes: Gauge::default(),
        };
        for operation in BORN_OPERATIONS {
            let labels = OperationLabels { operation };
            begin(&metrics.errors, &labels);
            let _: &Histogram = &metrics.seconds.get_or_create(&labels);
        }
        registry.register(
            "store_operation_seconds",
            "Duration of store operations in seconds, failed ones included",
            metrics.seconds.clone(),
        );
        registry.register("store_errors", "Failed store operations", metrics.errors.clone());
        registry.register(
            "store_recent_reads",
            "Records used as they were read a moment ago, in place of a read of the store",
            metrics.recent_reads.clone(),
        );
        registry.register(
            "store_recent_bytes",
            "Bytes of the records that are held for that",
            metrics.recent_bytes.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Records the duration of a store operation, and whether it failed.
    pub fn store_operation(&self, operation: &'static str, took: Duration, is_failed: bool) {
        let labels = OperationLabels { operation };
        self.store
            .seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if is_failed {
            self.store.errors.get_or_create(&labels).inc();
        }
    }

    /// Counts a record that was used as it was read a moment ago.
    pub fn store_recent_read(&self) {
        self.store.recent_reads.inc();
    }

    /// Sets the bytes that are held for that.
    pub fn store_recent_bytes(&self, bytes: usize) {
        self.store
            .recent_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
