//! Metrics of the listeners' certificates.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::tls::CertificateFacts;

/// Labels of [`TlsMetrics::renewals`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RenewalLabels {
    /// `control`.
    listener: &'static str,
    /// `applied` or `rejected`.
    outcome: &'static str,
}

/// Labels of [`TlsMetrics::not_after`], which has a sample for each listener with TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    /// `control`.
    listener: &'static str,
}

/// The certificates of the listeners. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TlsMetrics {
    /// `tokenward_certificate_renewals_total{listener,outcome}`.
    renewals: Family<RenewalLabels, Counter>,
    /// `tokenward_certificate_not_after_timestamp_seconds{listener}`.
    not_after: Family<ListenerLabels, Gauge>,
}

impl TlsMetrics {
    /// Families that `registry` has.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "certificate_renewals",
            "Changed certificates by listener, and by whether they came into force",
            metrics.renewals.clone(),
        );
        registry.register(
            "certificate_not_after_timestamp_seconds",
            "When the certificate in force expires, by listener",
            metrics.not_after.clone(),
        );
        metrics
    }

    /// Publishes the certificate in force at `listener`.
    pub fn in_force(&self, listener: &'static str, certificate: &CertificateFacts) {
        // An increase is seen only of a sample that was there before.
        for outcome in ["applied", "rejected"] {
            let labels = RenewalLabels { listener, outcome };
            let _: &Counter = &self.renewals.get_or_create(&labels);
        }
        self.not_after
            .get_or_create(&ListenerLabels { listener })
            .set(certificate.not_after_seconds);
    }

    /// Counts a renewal at `listener`, and publishes the certificate.
    pub fn renewed(&self, listener: &'static str, certificate: &CertificateFacts) {
        self.in_force(listener, certificate);
        self.count(listener, "applied");
    }

    /// Counts a changed certificate of `listener` that is not used.
    pub fn not_renewed(&self, listener: &'static str) {
        self.count(listener, "rejected");
    }

    fn count(&self, listener: &'static str, outcome: &'static str) {
        let labels = RenewalLabels { listener, outcome };
        self.renewals.get_or_create(&labels).inc();
    }
}
