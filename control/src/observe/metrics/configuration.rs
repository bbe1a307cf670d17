//! Metrics of the configuration: reloads, and whether the file on disk is the one in force.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, begin};

/// The outcome of a reload that is in force.
const APPLIED: &str = "applied";

/// Labels of the reloads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    /// `applied`, `rejected` or `restart_needed`.
    outcome: &'static str,
}

/// Reloads, and the last one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigurationMetrics {
    /// `tokenward_config_reloads_total{outcome}`.
    reloads: Family<ReloadLabels, Counter>,
    /// `tokenward_config_last_reload_successful`: 1 from the start, 0 while the last reload was not applied.
    last_successful: Gauge,
    /// `tokenward_config_last_reload_timestamp_seconds`: of the start until the first reload.
    last_at: Gauge,
}

impl ConfigurationMetrics {
    /// The families, added to `registry`. The process has started with a configuration that is in force.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for outcome in [APPLIED, "rejected", "restart_needed"] {
            begin(&metrics.reloads, &ReloadLabels { outcome });
        }
        metrics.set_last(true);
        registry.register(
            "config_reloads",
            "Configuration reloads by outcome",
            metrics.reloads.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "Whether the last reload was applied, or the process has only started",
            metrics.last_successful.clone(),
        );
        registry.register(
            "config_last_reload_timestamp_seconds",
            "Unix time of the last reload, or of the start",
            metrics.last_at.clone(),
        );
        metrics
    }

    fn set_last(&self, is_applied: bool) {
        let now_seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        self.last_successful.set(i64::from(is_applied));
        self.last_at.set(i64::try_from(now_seconds).unwrap_or(i64::MAX));
    }
}

impl Metrics {
    /// Counts a configuration reload.
    pub fn config_reload(&self, outcome: &'static str) {
        self.configuration
            .reloads
            .get_or_create(&ReloadLabels { outcome })
            .inc();
        self.configuration.set_last(outcome == APPLIED);
    }
}
