//! Counters, gauges and histograms by name, summed over all VMs as Envoy's stats store does.

use std::collections::BTreeMap;

use super::status::Status;

/// The kinds of `proxy_define_metric`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Set or moved both ways.
    Gauge,
    /// Keeps every recorded value.
    Histogram,
}

impl MetricKind {
    /// The kind of an ABI number.
    #[must_use]
    pub fn from_abi(kind: i32) -> Option<Self> {
        match kind {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// All stats of one process. They outlive VMs.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<String, u64>,
    histograms: BTreeMap<String, Vec<u64>>,
}

impl Metrics {
    /// Makes the stat exist; doing it again changes nothing.
    pub fn define(&mut self, kind: MetricKind, name: &str) {
        match kind {
            MetricKind::Counter => _ = self.counters.entry(name.to_owned()).or_default(),
            MetricKind::Gauge => _ = self.gauges.entry(name.to_owned()).or_default(),
            MetricKind::Histogram => _ = self.histograms.entry(name.to_owned()).or_default(),
        }
    }

    /// `proxy_increment_metric`: a counter takes only positive steps, a histogram none.
    pub fn increment(&mut self, kind: MetricKind, name: &str, step: i64) -> Status {
        match (kind, u64::try_from(step)) {
            (MetricKind::Counter, Ok(step)) if step > 0 => {
                *self.counters.entry(name.to_owned()).or_default() += step;
                Status::Ok
            }
            (MetricKind::Gauge, _) => {
                let gauge = self.gauges.entry(name.to_owned()).or_default();
                *gauge = gauge.saturating_add_signed(step);
                Status::Ok
            }
            _ => Status::BadArgument,
        }
    }

    /// `proxy_record_metric`: adds to a counter, sets a gauge, observes in a histogram.
    pub fn record(&mut self, kind: MetricKind, name: &str, value: u64) -> Status {
        match kind {
            MetricKind::Counter => *self.counters.entry(name.to_owned()).or_default() += value,
            MetricKind::Gauge => _ = self.gauges.insert(name.to_owned(), value),
            MetricKind::Histogram => self.histograms.entry(name.to_owned()).or_default().push(value),
        }
        Status::Ok
    }

    /// `proxy_get_metric`: the value of a counter or gauge.
    #[must_use]
    pub fn value(&self, kind: MetricKind, name: &str) -> Option<u64> {
        match kind {
            MetricKind::Counter => self.counters.get(name).copied(),
            MetricKind::Gauge => self.gauges.get(name).copied(),
            MetricKind::Histogram => None,
        }
    }

    /// A counter's value; 0 where it was never defined.
    #[must_use]
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or_default()
    }

    /// All counters by name: their number is bounded, because stats are never freed.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<String, u64> {
        &self.counters
    }

    /// All gauges by name.
    #[must_use]
    pub fn gauges(&self) -> &BTreeMap<String, u64> {
        &self.gauges
    }

    /// All histograms by name, every recorded value in order.
    #[must_use]
    pub fn histograms(&self) -> &BTreeMap<String, Vec<u64>> {
        &self.histograms
    }
}
