//! Metrics of the listener's certificate.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::tls::CertificateFacts;

/// Labels of [`TlsMetrics::renewals`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RenewalLabels {
    /// `applied` or `rejected`.
    outcome: &'static str,
}

/// No labels: the family has a sample only where there is a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// The certificate of the listener. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TlsMetrics {
    /// `tokenward_certificate_renewals_total{outcome}`.
    renewals: Family<RenewalLabels, Counter>,
    /// `tokenward_certificate_not_after_timestamp_seconds`.
    not_after: Family<NoLabels, Gauge>,
}

impl TlsMetrics {
    /// Families that `registry` has.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "certificate_renewals",
            "Changed certificates of the listener, by whether they came into force",
            metrics.renewals.clone(),
        );
        registry.register(
            "certificate_not_after_timestamp_seconds",
            "When the listener's certificate in force expires",
            metrics.not_after.clone(),
        );
        metrics
    }

    /// Publishes the certificate in force.
    pub fn in_force(&self, certificate: &CertificateFacts) {
        // An increase is seen only of a sample that was there before.
        for outcome in ["applied", "rejected"] {
            let _: &Counter = &self.renewals.get_or_create(&RenewalLabels { outcome });
        }
        self.not_after
            .get_or_create(&NoLabels {})
            .set(certificate.not_after_seconds);
    }

    /// Counts a renewal, and publishes the certificate.
    pub fn renewed(&self, certificate: &CertificateFacts) {
        self.in_force(certificate);
        let outcome = "applied";
        self.renewals.get_or_create(&RenewalLabels { outcome }).inc();
    }

    /// Counts a changed certificate that is not used.
    pub fn not_renewed(&self) {
        let outcome = "rejected";
        self.renewals.get_or_create(&RenewalLabels { outcome }).inc();
    }
}
