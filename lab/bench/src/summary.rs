//! From measurements to rows and budgets.

use super::data_path::{All, Measured};
use super::lanes::{FLOOR, Lane, NO_FILTER};
use super::report::{Budget, Latency, Row, Stream};
use super::statistics::{median, minimum, paired, quartiles, rounded};

impl Measured {
    fn latency(&self, base: &Self) -> Option<Latency> {
        let at = |measured: &Self, which: usize| -> Vec<f64> {
            let rounds = measured.latency_us.iter();
            rounds.map(|percentiles| percentiles[which]).collect()
        };
        let [p50, p99, p999] = [0, 1, 2].map(|which| rounded(median(&at(self, which))));
        (!self.latency_us.is_empty()).then(|| Latency {
            requests_per_second: self.latency_rate,
            p50_us: p50,
            p99_us: p99,
            p999_us: p999,
            added_us: [0, 1, 2].map(|which| rounded(difference(&at(self, which), &at(base, which)))),
        })
    }

    fn stream(&self, base: &Self) -> Option<Stream> {
        (!self.chunk_us.is_empty()).then(|| Stream {
            cpu_us_min: rounded(minimum(&self.chunk_us)),
            cpu_us_median: rounded(median(&self.chunk_us)),
            added_us_median: rounded(difference(&self.chunk_us, &base.chunk_us)),
        })
    }

    /// Ratios to what the floor added beside it, one for each round.
    fn ratios(&self) -> Vec<f64> {
        paired(&self.added_us, &self.floor_added_us, |added, floor| added / floor)
    }

    /// How busy Envoy's core was with Envoy: below 0.9 something else ran there, or the load was too slow.
    fn busy(&self) -> f64 {
        let busy = paired(&self.cpu_us, &self.per_second, |cpu_us, rate| cpu_us * rate / 1e6);
        median(&busy)
    }
}

/// Median of the differences in the same round.
fn difference(with: &[f64], without: &[f64]) -> f64 {
    median(&paired(with, without, |with, without| with - without))
}

/// One row for each lane.
pub(super) fn rows(lanes: &[Lane], all: &All) -> Vec<Row> {
    let (plain, floor) = (&all[NO_FILTER], &all[FLOOR]);
    let floor_added_min = minimum(&floor.cpu_us) - minimum(&plain.cpu_us);
    let rows = lanes.iter().map(|lane| {
        let (measured, base) = (&all[lane.name], &all[lane.base]);
        let ratios = measured.ratios();
        let compared = lane.base != lane.name;
        let added_us_min = minimum(&measured.cpu_us) - minimum(&base.cpu_us);
        Row {
            name: lane.name,
            base: lane.base,
            requests: measured.requests,
            cpu_us_min: rounded(minimum(&measured.cpu_us)),
            cpu_us_median: rounded(median(&measured.cpu_us)),
            cpu_us_quartiles: quartiles(&measured.cpu_us).map(rounded),
            cpu_us_rounds: measured.cpu_us.iter().copied().map(rounded).collect(),
            added_us_min: compared.then(|| rounded(added_us_min)),
            added_us_median: compared.then(|| rounded(median(&measured.added_us))),
            added_ratio_to_floor: compared.then(|| rounded(median(&ratios))),
            added_ratio_quartiles: compared.then(|| quartiles(&ratios).map(rounded)),
            added_min_ratio_to_floor: compared.then(|| rounded(added_us_min / floor_added_min)),
            requests_per_second: median(&measured.per_second).round(),
            busy: rounded(measured.busy()),
            latency: measured.latency(base),
            event_stream_chunk: measured.stream(base),
        }
    });
    rows.collect()
}

/// The budgets of which both sides were measured.
pub(super) fn budgets(lanes: &[Lane], all: &All) -> Vec<Budget> {
    let of = |name: &str| lanes.iter().any(|lane| lane.name == name).then(|| &all[name]);
    let to_floor = |what: &'static str, lane: &str, limit: f64| {
        Some(Budget::at_most(what, limit, median(&of(lane)?.ratios())))
    };
    // Both as multiples of the floor beside them: the speed of the machine cancels out of each.
    let to_jwt_authn = || {
        let (fresh, jwt_authn) = (of("fresh")?.ratios(), of("jwt_authn")?.ratios());
        Some(Budget::at_most(
            "added by fresh / added by jwt_authn",
            1.0 / 3.0,
            median(&fresh) / median(&jwt_authn),
        ))
    };
    let budgets = [
        to_floor("added by fresh / added by floor", "fresh", 1.25),
        to_floor("added by replaced / added by floor", "replaced", 1.6),
        to_floor("added by exchange / added by floor", "exchange", 1.6),
        to_floor("added by swapped / added by floor", "swapped", 1.6),
        to_floor("added by gated / added by floor", "gated", 1.6),
        to_jwt_authn(),
    ];
    budgets.into_iter().flatten().collect()
}
