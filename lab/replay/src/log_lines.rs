//! Log lines by level, and by pair and minute.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::half::Lines;
use tokenward_harness::parts::EnvoyLine;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// A warning about a pair, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warning {
    pub(super) pair: String,
    /// Of any begin, as long as all have the same.
    pub(super) at: Duration,
}

/// The filter's lines in Envoy's raw log, by level.
pub(super) fn of_filter(log: &[String]) -> Lines {
    let lines: Vec<EnvoyLine> = log.iter().filter_map(|line| EnvoyLine::read_wasm(line)).collect();
    let at = |level: &str| lines.iter().filter(|line| line.level == level).count();
    Lines {
        error: at("error") + at("critical"),
        warn: at("warning"),
        info: at("info"),
        debug: at("debug"),
    }
}

/// The filter's warnings; one that names no pair goes by its text.
pub(super) fn warnings_of_filter(log: &[String]) -> Vec<Warning> {
    let mut begin_ms = None;
    let warnings = log.iter().filter_map(|text| {
        let line = EnvoyLine::read_wasm(text).filter(|line| line.level == "warning")?;
        let at_ms = time_of_day_ms(text)?;
        let begin_ms = *begin_ms.get_or_insert(at_ms);
        Some(Warning {
            pair: line.field("pair").unwrap_or(&line.message).to_owned(),
            // Past midnight the time of day starts at 0 again.
            at: Duration::from_millis((at_ms + DAY_MS - begin_ms) % DAY_MS),
        })
    });
    warnings.collect()
}

/// Control's lines, one JSON object each, by level.
pub(super) fn of_control(log: &[String]) -> Lines {
    let levels: Vec<String> = log
        .iter()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line).ok()?["level"]
                .as_str()
                .map(str::to_lowercase)
        })
        .collect();
    let at = |level: &str| levels.iter().filter(|found| *found == level).count();
    Lines {
        error: at("error"),
        warn: at("warn"),
        info: at("info"),
        debug: at("debug"),
    }
}

/// The most warnings of one pair that lie within any `span`.
pub(super) fn most_per_pair(warnings: &[Warning], span: Duration) -> usize {
    let mut by_pair: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for warning in warnings {
        by_pair.entry(&warning.pair).or_default().push(warning.at);
    }
    let most = by_pair.values_mut().map(|times| {
        times.sort();
        let within = |first: usize| times[first..].partition_point(|at| *at < times[first] + span);
        (0..times.len()).map(within).max().unwrap_or(0)
    });
    most.max().unwrap_or(0)
}

/// `[2026-11-21 21:19:19.123][…` as milliseconds since midnight.
fn time_of_day_ms(line: &str) -> Option<u64> {
    let (stamp, _) = line.strip_prefix('[')?.split_once(']')?;
    let (_, time) = stamp.split_once(' ')?;
    let (clock, ms) = time.split_once('.')?;
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + ms.parse::<u64>().ok()?)
}
