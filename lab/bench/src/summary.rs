//! From measurements to rows and budgets.

use super::data_path::{All, Measured};
use super::lanes::{BARE, Lane};
use super::report::{Budget, Confirmed, Latency, Row, Stream};
use super::statistics::{interval_of_median, median, minimum, paired, quartiles, rounded};

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

    /// Ratios of what it added to what a floor added, one for each round.
    fn ratios(&self, floor: &Self) -> Vec<f64> {
        paired(&self.added_shares, &floor.added_shares, |added, floor| {
            added / floor
        })
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

/// One row for each lane, with what the other load generator found of it.
pub(super) fn rows(lanes: &[Lane], all: &All, by_h2load: &All) -> Vec<Row> {
    let rows = lanes.iter().map(|lane| {
        let (measured, base) = (&all[lane.name], &all[lane.base]);
        let (floor, bare) = (&all[lane.floor], &all[BARE]);
        let floor_base = floor_base(lanes, lane).map_or(base, |name| &all[name]);
        let floor_added_min = minimum(&floor.cpu_us) - minimum(&floor_base.cpu_us);
        let (ratios, to_bare) = (measured.ratios(floor), measured.ratios(bare));
        let compared = lane.base != lane.name;
        let added_us_min = minimum(&measured.cpu_us) - minimum(&base.cpu_us);
        let to_floor = compared && lane.floor != lane.name;
        Row {
            name: lane.name,
            base: lane.base,
            floor: to_floor.then_some(lane.floor),
            requests: measured.requests,
            cpu_us_min: rounded(minimum(&measured.cpu_us)),
            cpu_us_median: rounded(median(&measured.cpu_us)),
            cpu_us_quartiles: quartiles(&measured.cpu_us).map(rounded),
            cpu_us_rounds: measured.cpu_us.iter().copied().map(rounded).collect(),
            added_us_min: compared.then(|| rounded(added_us_min)),
            added_us_median: compared.then(|| rounded(median(&measured.added_us))),
            added_ratio_to_floor: compared.then(|| rounded(median(&ratios))),
            added_ratio_interval: compared.then(|| interval_of_median(&ratios).map(rounded)),
            added_ratio_quartiles: compared.then(|| quartiles(&ratios).map(rounded)),
            added_min_ratio_to_floor: compared.then(|| rounded(added_us_min / floor_added_min)),
            added_ratio_to_bare: compared.then(|| rounded(median(&to_bare))),
            added_ratio_to_bare_interval: compared.then(|| interval_of_median(&to_bare).map(rounded)),
            by_h2load: compared.then(|| confirmed(lane, by_h2load)).flatten(),
            requests_per_second: median(&measured.per_second).round(),
            busy: rounded(measured.busy()),
            latency: measured.latency(base),
            event_stream_chunk: measured.stream(base),
        }
    });
    rows.collect()
}

fn floor_base(lanes: &[Lane], lane: &Lane) -> Option<&'static str> {
    let floor = lanes.iter().find(|floor| floor.name == lane.floor);
    floor.map(|floor| floor.base)
}

fn confirmed(lane: &Lane, all: &All) -> Option<Confirmed> {
    let (measured, floor, bare) = (all.get(lane.name)?, all.get(lane.floor)?, all.get(BARE)?);
    let ratios = measured.ratios(floor);
    Some(Confirmed {
        requests: measured.requests,
        cpu_us_median: rounded(median(&measured.cpu_us)),
        added_us_median: rounded(median(&measured.added_us)),
        added_ratio_to_floor: rounded(median(&ratios)),
        added_ratio_interval: interval_of_median(&ratios).map(rounded),
        added_ratio_to_bare: rounded(median(&measured.ratios(bare))),
        busy: rounded(measured.busy()),
    })
}

/// The budgets of which both sides were measured.
pub(super) fn budgets(lanes: &[Lane], all: &All) -> Vec<Budget> {
    let of = |name: &str| {
        let lane = lanes.iter().find(|lane| lane.name == name)?;
        Some((&all[lane.name], &all[lane.floor]))
    };
    let to_floor = |what: &'static str, name: &str, limit: f64| {
        let (measured, floor) = of(name)?;
        Some(Budget::at_most(what, limit, median(&measured.ratios(floor))))
    };
    let to_bare = || {
        let (fresh, _) = of("fresh")?;
        let ratios = fresh.ratios(&all[BARE]);
        Some(Budget::at_most(
            "added by fresh / added by bare",
            1.4,
            median(&ratios),
        ))
    };
    let to_jwt_authn = || {
        let ((fresh, _), (jwt_authn, _)) = (of("fresh")?, of("jwt_authn")?);
        Some(Budget::at_most(
            "added by fresh / added by jwt_authn",
            1.0 / 3.0,
            median(&fresh.ratios(jwt_authn)),
        ))
    };
    let budgets = [
        to_floor("added by fresh / added by floor", "fresh", 1.1),
        to_bare(),
        to_floor("added by installed / added by the floor there", "installed", 1.25),
        to_floor("added by replaced / added by floor", "replaced", 1.25),
        to_floor("added by exchange / added by floor", "exchange", 1.25),
        to_floor("added by swapped / added by floor", "swapped", 1.25),
        to_floor("added by gated / added by floor", "gated", 1.25),
        to_jwt_authn(),
    ];
    budgets.into_iter().flatten().collect()
}
