//! Metrics of what filters learn from this replica.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::begin;

/// Labels of `tokenward_filter_state_polls_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PollLabels {
    /// `answered`, or the name of the refusal.
    outcome: &'static str,
}

/// What filters learn. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FilterStateMetrics {
    polls: Family<PollLabels, Counter>,
    version: Gauge<u64, AtomicU64>,
    servers_version: Gauge<u64, AtomicU64>,
    entries: Gauge<u64, AtomicU64>,
}

impl FilterStateMetrics {
    /// The families, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            polls: Family::default(),
            version: Gauge::default(),
            servers_version: Gauge::default(),
            entries: Gauge::default(),
        };
        for outcome in ["answered", "store_unavailable"] {
            begin(&metrics.polls, &PollLabels { outcome });
        }
        registry.register(
            "filter_state_polls",
            "Requests of filters for their state",
            metrics.polls.clone(),
        );
        registry.register(
            "filter_state_version",
            "Position of the newest sign-out in the log",
            metrics.version.clone(),
        );
        registry.register(
            "filter_state_servers_version",
            "Version of the list of servers that this replica gives to filters",
            metrics.servers_version.clone(),
        );
        registry.register(
            "filter_state_entries",
            "Entries of the log of sign-outs",
            metrics.entries.clone(),
        );
        metrics
    }

    /// Counts a request of a filter.
    pub fn poll(&self, outcome: &'static str) {
        self.polls.get_or_create(&PollLabels { outcome }).inc();
    }

    /// The log as it was read: its newest position, unless there are entries after `version`, and its size.
    pub fn log(&self, version: u64, has_more: bool, entries: usize) {
        if !has_more {
            self.version.set(version);
        }
        self.entries.set(u64::try_from(entries).unwrap_or(u64::MAX));
    }

    /// The version of the list of servers.
    pub fn servers(&self, version: u64) {
        self.servers_version.set(version);
    }
}
