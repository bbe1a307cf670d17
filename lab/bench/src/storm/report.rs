//! What the storms were: JSON for machines, a table for people.

use serde::Serialize;
use tokenward_harness::parts::Metrics;

use super::Measured;
use super::probe::Probed;
use crate::load::percentile_us;
use crate::report::{Budget, line};
use crate::statistics::rounded;

/// Others had more of the machine than that: the result means little.
const MOST_FOREIGN: f64 = 0.1;
/// What a client of Dex that has nothing to do with the storm may wait, p99. Beyond it Dex counts as drowned.
const LONGEST_PROBE_MS: f64 = 100.0;

/// The whole result.
#[derive(Debug, Clone, Serialize)]
pub struct StormReport {
    benchmark: &'static str,
    cpu_model: String,
    cores: usize,
    dex: &'static str,
    sessions: usize,
    undisturbed: bool,
    storms: Vec<Row>,
    budgets: Vec<Budget>,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    /// Calls per second, burst and concurrent calls of each replica, or `default`.
    limits: String,
    replicas: usize,
    seconds_until_all_fresh: f64,
    sessions_per_second: f64,
    refreshes_at_dex: u64,
    refreshes_per_session: f64,
    /// Requests for a token, those answered 503, and the most for one session.
    requests: u64,
    answered_503: u64,
    most_requests_of_a_session: u32,
    longest_retry_after_seconds: u64,
    /// From the storm's begin until a session has its token.
    session_seconds: Percentiles,
    /// A refresh as control sees it, in milliseconds.
    refresh_ms: Percentiles,
    /// `/healthz` and `/keys` of Dex: before the storm and in it, in milliseconds.
    healthz_at_rest_ms: Percentiles,
    healthz_ms: Percentiles,
    keys_at_rest_ms: Percentiles,
    keys_ms: Percentiles,
    dex_cpu_seconds: f64,
    etcd_cpu_seconds: f64,
    control_cpu_seconds: f64,
    valkey_cpu_seconds: f64,
    load_cpu_seconds: f64,
    foreign: f64,
    warn_lines: usize,
    store_commands_per_session: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    max: f64,
}

pub(super) fn report(sessions: usize, machine: (String, usize), storms: &[Measured]) -> StormReport {
    let rows: Vec<Row> = storms.iter().map(|storm| row(sessions, storm)).collect();
    StormReport {
        benchmark: "storm",
        cpu_model: machine.0,
        cores: machine.1,
        dex: "v2.45.1 on etcd, with users of an HTTP directory",
        sessions,
        undisturbed: rows.iter().all(|row| row.foreign <= MOST_FOREIGN),
        budgets: budgets(&rows),
        storms: rows,
    }
}

fn row(sessions: usize, storm: &Measured) -> Row {
    let requests = storm
        .served
        .iter()
        .map(|session| u64::from(session.requests))
        .sum();
    let mut after_ns: Vec<u64> = storm
        .served
        .iter()
        .map(|session| u64::try_from(session.after.as_nanos()).unwrap_or(u64::MAX))
        .collect();
    after_ns.sort_unstable();
    let most = storm.served.iter().map(|session| session.requests).max();
    let longest = storm
        .served
        .iter()
        .map(|session| session.longest_retry_after_seconds);
    let Probed { health_ns, keys_ns } = &storm.probed;
    Row {
        limits: storm.limits.name(),
        replicas: storm.replicas,
        seconds_until_all_fresh: rounded(storm.seconds),
        sessions_per_second: rounded(sessions as f64 / storm.seconds),
        refreshes_at_dex: storm.refreshes,
        refreshes_per_session: storm.refreshes as f64 / sessions as f64,
        requests,
        answered_503: requests - sessions as u64,
        most_requests_of_a_session: most.unwrap_or(0),
        longest_retry_after_seconds: longest.max().unwrap_or(0),
        session_seconds: percentiles(&after_ns, 1e6),
        refresh_ms: of_histogram(&storm.metrics),
        healthz_at_rest_ms: percentiles(&storm.at_rest.health_ns, 1e3),
        healthz_ms: percentiles(health_ns, 1e3),
        keys_at_rest_ms: percentiles(&storm.at_rest.keys_ns, 1e3),
        keys_ms: percentiles(keys_ns, 1e3),
        dex_cpu_seconds: rounded(storm.used.dex),
        etcd_cpu_seconds: rounded(storm.used.etcd),
        control_cpu_seconds: rounded(storm.used.control),
        valkey_cpu_seconds: rounded(storm.used.valkey),
        load_cpu_seconds: rounded(storm.used.load),
        foreign: rounded(storm.used.foreign),
        warn_lines: storm.warnings,
        store_commands_per_session: rounded(storm.store_commands as f64 / sessions as f64),
    }
}

fn percentiles(sorted_ns: &[u64], us_per_unit: f64) -> Percentiles {
    let of = |share| rounded(percentile_us(sorted_ns, share) / us_per_unit);
    Percentiles {
        p50: of(0.5),
        p99: of(0.99),
        max: of(1.0),
    }
}

/// Percentiles of `tokenward_issuer_request_seconds` for refreshes, as upper bounds of their buckets.
fn of_histogram(metrics: &[Metrics]) -> Percentiles {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for sample in metrics.iter().flat_map(Metrics::samples) {
        let is_refresh = sample.label("call") == Some("refresh");
        if sample.name != "tokenward_issuer_request_seconds_bucket" || !is_refresh {
            continue;
        }
        let Some(limit) = sample.label("le").and_then(|text| text.parse().ok()) else {
            continue;
        };
        match buckets.iter_mut().find(|(known, _)| *known == limit) {
            Some((_, count)) => *count += sample.value,
            None => buckets.push((limit, sample.value)),
        }
    }
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let below = |share: f64| {
        let bucket = buckets.iter().find(|(_, count)| *count >= all * share);
        bucket.map_or(0.0, |(limit, _)| rounded(limit * 1000.0))
    };
    Percentiles {
        p50: below(0.5),
        p99: below(0.99),
        max: below(1.0),
    }
}

/// Control's own defaults are judged.
fn budgets(rows: &[Row]) -> Vec<Budget> {
    let of_defaults = || rows.iter().filter(|row| row.limits == "default");
    let worst = |value: fn(&Row) -> f64| of_defaults().map(value).reduce(f64::max);
    let exactly = rows.iter().map(|row| row.refreshes_per_session);
    let mut budgets = vec![Budget::at_most(
        "refreshes per session, the most of all storms",
        1.0,
        exactly.fold(0.0, f64::max),
    )];
    if let Some(p99) = worst(|row| row.healthz_ms.p99.max(row.keys_ms.p99)) {
        budgets.push(Budget::at_most(
            "p99 of an independent client of Dex in the storm, default limits, ms",
            LONGEST_PROBE_MS,
            p99,
        ));
    }
    budgets
}

impl StormReport {
    /// Whether nothing else ran on this machine.
    #[must_use]
    pub fn was_undisturbed(&self) -> bool {
        self.undisturbed
    }

    /// Whether every budget is met.
    #[must_use]
    pub fn is_within_budgets(&self) -> bool {
        self.budgets.iter().all(|budget| budget.met)
    }

    /// The tables.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{} sessions, Dex {}\n\n", self.sessions, self.dex);
        line(
            &mut text,
            &format!(
                "{:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>7}{:>8}{:>9}",
                "limits",
                "replicas",
                "seconds",
                "per s",
                "p50 s",
                "p99 s",
                "503",
                "asked ≤",
                "wait ≤ s",
                "refresh",
                "p99 ms",
                "probe",
                "p99 ms",
                "WARN",
                "Dex CPU",
                "foreign"
            ),
        );
        for row in &self.storms {
            line(
                &mut text,
                &format!(
                    "{:<16}{:>9}{:>9.1}{:>9.0}{:>9.1}{:>9.1}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9.1}{:>9.1}{:>7}{:>8.1}{:>9.2}",
                    row.limits,
                    row.replicas,
                    row.seconds_until_all_fresh,
                    row.sessions_per_second,
                    row.session_seconds.p50,
                    row.session_seconds.p99,
                    row.answered_503,
                    row.most_requests_of_a_session,
                    row.longest_retry_after_seconds,
                    row.refresh_ms.p50,
                    row.refresh_ms.p99,
                    row.keys_ms.p50,
                    row.keys_ms.p99,
                    row.warn_lines,
                    row.dex_cpu_seconds,
                    row.foreign
                ),
            );
        }
        text += "\n";
        if !self.undisturbed {
            line(
                &mut text,
                "NOISY: others had more than 0.1 of the machine (see `foreign`). The numbers mean little.",
            );
        }
        for budget in &self.budgets {
            line(&mut text, &budget.line());
        }
        text
    }
}
