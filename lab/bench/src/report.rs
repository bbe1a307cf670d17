//! What a benchmark found: JSON for machines, a table for people.

use serde::Serialize;

use super::machine::Machine;
use super::memory::Growth;
use super::statistics::rounded;

/// Share of its core that Envoy has under a closed loop where nothing else runs.
const UNDISTURBED: f64 = 0.9;

/// The whole result.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub(super) benchmark: &'static str,
    pub(super) machine: Machine,
    pub(super) rounds: usize,
    pub(super) seconds_per_round: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) second_load: Option<SecondLoad>,
    /// What could not be measured, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out: Vec<String>,
    #[serde(rename = "latency_and_streams", skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<LatencyRounds>,
    pub(super) connections: usize,
    pub(super) token_bytes: usize,
    /// What Envoy uses while nothing happens: part of every cost.
    pub(super) idle_cpu_us_per_second: f64,
    /// Whether Envoy had its core to itself: otherwise the numbers mean little.
    pub(super) undisturbed: bool,
    pub(super) rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Growth>,
    pub(super) budgets: Vec<Budget>,
}

/// The rounds with another load generator.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SecondLoad {
    pub(super) program: String,
    pub(super) rounds: usize,
    pub(super) seconds_per_round: f64,
}

/// How latency and event streams were measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LatencyRounds {
    pub(super) rounds: usize,
    pub(super) seconds_per_round: f64,
}

/// One configuration. Costs are CPU of the whole Envoy process, microseconds per request.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The configuration that its cost is added to.
    pub(super) base: &'static str,
    pub(super) requests: u64,
    pub(super) cpu_us_min: f64,
    pub(super) cpu_us_median: f64,
    /// A quarter of the rounds is below the first, a quarter above the second.
    pub(super) cpu_us_quartiles: [f64; 2],
    /// One value for each round, in the order of the rounds.
    pub(super) cpu_us_rounds: Vec<f64>,
    /// Minimum over the rounds less the minimum of `base`.
    pub(super) added_us_min: Option<f64>,
    /// Median of the differences to `base` beside it.
    pub(super) added_us_median: Option<f64>,
    /// The configuration whose added cost `added_ratio_to_floor` is a multiple of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) floor: Option<&'static str>,
    /// Median of the rounds' ratios to what the floor added.
    pub(super) added_ratio_to_floor: Option<f64>,
    /// Where that median lies with 95 % confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) added_ratio_interval: Option<[f64; 2]>,
    /// Quartiles of these ratios.
    pub(super) added_ratio_quartiles: Option<[f64; 2]>,
    /// Ratio of the two `added_us_min`.
    pub(super) added_min_ratio_to_floor: Option<f64>,
    /// Median of the rounds' ratios to what the filter without an SDK added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) added_ratio_to_bare: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) added_ratio_to_bare_interval: Option<[f64; 2]>,
    /// The same, by another load generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by_h2load: Option<Confirmed>,
    pub(super) requests_per_second: f64,
    /// Share of its core that Envoy had, 1 at most.
    pub(super) busy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_stream_chunk: Option<Stream>,
}

/// What another load generator found of a configuration, in the same run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Confirmed {
    pub(super) requests: u64,
    pub(super) cpu_us_median: f64,
    pub(super) added_us_median: f64,
    pub(super) added_ratio_to_floor: f64,
    pub(super) added_ratio_interval: [f64; 2],
    pub(super) added_ratio_to_bare: f64,
    pub(super) busy: f64,
}

/// Latency at a fixed rate, from the moment at which a request was due.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Latency {
    pub(super) requests_per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    /// p50, p99 and p99.9 less those of `no_filter` in the same round: medians.
    pub(super) added_us: [f64; 3],
}

/// CPU per chunk of an event stream.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Stream {
    pub(super) cpu_us_min: f64,
    pub(super) cpu_us_median: f64,
    pub(super) added_us_median: f64,
}

/// A promise about a measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Budget {
    /// What is measured.
    pub what: &'static str,
    /// Whether `limit` is the most or the least that is accepted.
    pub bound: &'static str,
    /// What is accepted.
    pub limit: f64,
    /// What it was.
    pub measured: f64,
    /// Whether it is within the limit.
    pub met: bool,
}

impl Budget {
    pub(super) fn at_most(what: &'static str, limit: f64, measured: f64) -> Self {
        Self {
            what,
            bound: "at most",
            limit: rounded(limit),
            measured: rounded(measured),
            met: measured <= limit,
        }
    }

    pub(super) fn at_least(what: &'static str, limit: f64, measured: f64) -> Self {
        Self {
            bound: "at least",
            met: measured >= limit,
            ..Self::at_most(what, limit, measured)
        }
    }

    /// One line for the terminal.
    pub(super) fn line(&self) -> String {
        let word = if self.met { "met   " } else { "MISSED" };
        format!(
            "{word}  {} : {} ({} {})",
            self.what, self.measured, self.bound, self.limit
        )
    }
}

impl Report {
    /// Whether Envoy had its core to itself all the time.
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
        let mut text = format!(
            "{} rounds of {} s, {} connections, tokens of {} bytes; idle Envoy {} µs CPU/s\n\n",
            self.rounds,
            self.seconds_per_round,
            self.connections,
            self.token_bytes,
            self.idle_cpu_us_per_second
        );
        text += &self.costs();
        if let Some(load) = &self.second_load {
            let SecondLoad {
                program,
                rounds,
                seconds_per_round,
            } = load;
            line(
                &mut text,
                &format!("(h2load): × floor by {program}, {rounds} rounds of {seconds_per_round} s"),
            );
        }
        for left_out in &self.left_out {
            line(&mut text, &format!("left out: {left_out}"));
        }
        text += &self.latencies();
        text += &self.streams();
        if let Some(memory) = &self.memory {
            text += &memory.table();
        }
        text += "\n";
        if !self.was_undisturbed() {
            line(
                &mut text,
                "NOISY: Envoy had less than 0.9 of its core (see `busy`). Something else ran; the numbers mean little.",
            );
        }
        for budget in &self.budgets {
            line(&mut text, &budget.line());
        }
        text
    }

    fn costs(&self) -> String {
        let mut text = format!(
            "{:<28}{:>10}{:>9}{:>9}{:>9}{:>11}{:>11}{:>8}{:>9}{:>11}{:>9}{:>7}\n",
            "CPU µs/request",
            "requests",
            "median",
            "+median",
            "× floor",
            "95 %",
            "quartiles",
            "(min)",
            "× bare",
            "(h2load)",
            "req/s",
            "busy"
        );
        for row in &self.rows {
            let by_h2load = row.by_h2load.as_ref();
            let by_h2load = by_h2load.map(|by_h2load| by_h2load.added_ratio_to_floor);
            line(
                &mut text,
                &format!(
                    "{:<28}{:>10}{:>9.2}{:>9}{:>9}{:>11}{:>11}{:>8}{:>9}{:>11}{:>9.0}{:>7.2}",
                    row.name,
                    row.requests,
                    row.cpu_us_median,
                    optional(row.added_us_median),
                    optional(row.added_ratio_to_floor),
                    range(row.added_ratio_interval),
                    range(row.added_ratio_quartiles),
                    optional(row.added_min_ratio_to_floor),
                    optional(row.added_ratio_to_bare),
                    optional(by_h2load),
                    row.requests_per_second,
                    row.busy
                ),
            );
        }
        text
    }

    fn latencies(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let Some(latency) = &row.latency else { continue };
            if text.is_empty() {
                let title = format!("latency µs at {:.0} req/s", latency.requests_per_second);
                line(
                    &mut text,
                    &format!(
                        "\n{title:<28}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}",
                        "p50", "p99", "p99.9", "+p50", "+p99", "+p99.9"
                    ),
                );
            }
            let [p50, p99, p999] = latency.added_us;
            line(
                &mut text,
                &format!(
                    "{:<28}{:>10.0}{:>9.0}{:>9.0}{p50:>9.0}{p99:>9.0}{p999:>9.0}",
                    row.name, latency.p50_us, latency.p99_us, latency.p999_us
                ),
            );
        }
        text
    }

    fn streams(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let Some(chunk) = &row.event_stream_chunk else {
                continue;
            };
            if text.is_empty() {
                line(
                    &mut text,
                    &format!(
                        "\n{:<28}{:>10}{:>9}{:>9}",
                        "event streams, CPU µs/chunk", "min", "median", "+median"
                    ),
                );
            }
            line(
                &mut text,
                &format!(
                    "{:<28}{:>10.2}{:>9.2}{:>9.2}",
                    row.name, chunk.cpu_us_min, chunk.cpu_us_median, chunk.added_us_median
                ),
            );
        }
        text
    }
}

pub(super) fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.2}"))
}

fn range(ends: Option<[f64; 2]>) -> String {
    ends.map_or_else(String::new, |[first, last]| format!("{first:.2}–{last:.2}"))
}

pub(super) fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Whether Envoy had its core to itself in each of these.
pub(super) fn is_undisturbed(rows: &[Row]) -> bool {
    rows.iter().all(|row| row.busy >= UNDISTURBED)
}
