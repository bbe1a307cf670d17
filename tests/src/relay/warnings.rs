//! WARN lines of the filter by pair and minute.

use std::collections::BTreeMap;

use tokenward_harness::parts::{Envoy, EnvoyLine};

const MINUTE_SECONDS: u64 = 60;
const DAY_SECONDS: u64 = 24 * 3600;

/// The most WARN lines about one pair of session and server that lie within one minute.
pub(super) fn most_per_pair_and_minute(gateway: &Envoy) -> usize {
    let mut times: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let lines = gateway.log().lines();
    for text in &lines {
        let Some(line) = EnvoyLine::read_wasm(text).filter(|line| line.level == "warning") else {
            continue;
        };
        let pair = line.field("pair").unwrap_or(&line.message).to_owned();
        times.entry(pair).or_default().extend(second_of_day(text));
    }
    let most = times.values().map(|times| {
        let first = times.first().copied().unwrap_or(0);
        // Past midnight the time of day starts at 0 again.
        let since: Vec<_> = times
            .iter()
            .map(|at| (at + DAY_SECONDS - first) % DAY_SECONDS)
            .collect();
        let within = |begin: &u64| {
            let minute = *begin..begin + MINUTE_SECONDS;
            since.iter().filter(|at| minute.contains(at)).count()
        };
        since.iter().map(within).max().unwrap_or(0)
    });
    most.max().unwrap_or(0)
}

/// `[2026-01-31 23:59:58.123][…` → 86398.
fn second_of_day(line: &str) -> Option<u64> {
    let (_, time) = line.get(..20)?.split_once(' ')?;
    time.split(':')
        .map(|part| part.parse::<u64>().ok())
        .try_fold(0, |seconds, part| Some(seconds * 60 + part?))
}
