//! Metrics of connections and of requests that are being read.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, begin};

/// Labels of the counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    /// Of closed connections: `late`, `idle`, `pushed_out`, `no_handshake` or `full`. Of unread requests: `no_room`, `late`, `too_large` or
    /// `broke_off`.
    cause: &'static str,
}

/// Labels of the bytes held.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallerLabels {
    /// `known` (has presented a valid credential) or `unknown`.
    caller: &'static str,
}

/// What the listener holds and gives up. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct IntakeMetrics {
    /// `tokenward_connections_closed_total{cause}`: connections closed by control.
    closed: Family<CauseLabels, Counter>,
    /// `tokenward_intake_bytes{caller}`: bytes held by requests in progress.
    bytes: Family<CallerLabels, Gauge>,
    /// `tokenward_requests_unread_total{cause}`: requests whose body was not read completely.
    unread: Family<CauseLabels, Counter>,
}

impl IntakeMetrics {
    /// The families, added to `registry`.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for cause in ["late", "idle", "pushed_out", "no_handshake", "full"] {
            begin(&metrics.closed, &CauseLabels { cause });
        }
        for cause in ["no_room", "late", "too_large", "broke_off"] {
            begin(&metrics.unread, &CauseLabels { cause });
        }
        registry.register(
            "connections_closed",
            "Connections closed by control, by cause",
            metrics.closed.clone(),
        );
        registry.register(
            "intake_bytes",
            "Bytes held by requests in progress, by whether the caller has presented a credential",
            metrics.bytes.clone(),
        );
        registry.register(
            "requests_unread",
            "Requests whose body was not read completely, by cause",
            metrics.unread.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Counts a connection closed by control.
    pub fn connection_closed(&self, cause: &'static str) {
        self.intake.closed.get_or_create(&CauseLabels { cause }).inc();
    }

    /// The gauge of the bytes held by requests of `caller`.
    #[must_use]
    pub fn intake_bytes_of(&self, caller: &'static str) -> Gauge {
        self.intake.bytes.get_or_create(&CallerLabels { caller }).clone()
    }

    /// Counts a request whose body was not read completely.
    pub fn request_unread(&self, cause: &'static str) {
        self.intake.unread.get_or_create(&CauseLabels { cause }).inc();
    }
}
