//! Metrics of the resources that are servers, and of their watches.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokenward_kubernetes::kind::KINDS;
use tokenward_kubernetes::{Kind, Outcome, Verdict};

/// Labels of `tokenward_kubernetes_resources`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    /// The API group of the kind.
    group: &'static str,
    /// The kind.
    kind: &'static str,
    /// `accepted`, `ignored`, `rejected` or `held`.
    state: &'static str,
}

/// Labels of `tokenward_kubernetes_last_answer_timestamp_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    group: &'static str,
    kind: &'static str,
    /// The namespace; `*`: all.
    watched_namespace: String,
}

/// Resources and watches. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KubernetesMetrics {
    resources: Family<ResourceLabels, Gauge>,
    omitted: Gauge,
    lists: Counter,
    last_answer: Family<WatchLabels, Gauge<u64, AtomicU64>>,
}

impl KubernetesMetrics {
    /// The families, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "kubernetes_resources",
            "Resources that name an MCP server, by what became of them",
            metrics.resources.clone(),
        );
        registry.register(
            "kubernetes_omitted_resources",
            "Resources that are left out because there are too many",
            metrics.omitted.clone(),
        );
        registry.register(
            "kubernetes_lists",
            "Lists of resources that were put into force",
            metrics.lists.clone(),
        );
        registry.register(
            "kubernetes_last_answer_timestamp_seconds",
            "Unix time at which the API server last answered for a watched list; 0: not yet",
            metrics.last_answer.clone(),
        );
        metrics
    }

    /// A list is in force.
    pub fn resources(&self, verdicts: &[Verdict], omitted: usize) {
        const STATES: [Outcome; 4] = [
            Outcome::Accepted,
            Outcome::Ignored,
            Outcome::Rejected,
            Outcome::Held,
        ];
        let mut counts: BTreeMap<(&'static Kind, Outcome), i64> = BTreeMap::new();
        for verdict in verdicts {
            *counts
                .entry((verdict.resource.id.kind, verdict.outcome))
                .or_default() += 1;
        }
        for kind in &KINDS {
            for outcome in STATES {
                let count = counts.get(&(kind, outcome)).copied();
                let labels = ResourceLabels {
                    group: kind.group,
                    kind: kind.name,
                    state: outcome.name(),
                };
                self.resources
                    .get_or_create(&labels)
                    .set(count.unwrap_or_default());
            }
        }
        self.omitted.set(i64::try_from(omitted).unwrap_or(i64::MAX));
        self.lists.inc();
    }

    /// When the API server last answered for a list, Unix ms.
    pub fn watch(&self, kind: &'static Kind, namespace: &str, answered_at_ms: Option<u64>) {
        let labels = WatchLabels {
            group: kind.group,
            kind: kind.name,
            watched_namespace: namespace.to_owned(),
        };
        let seconds = answered_at_ms.unwrap_or_default() / 1000;
        self.last_answer.get_or_create(&labels).set(seconds);
    }
}
