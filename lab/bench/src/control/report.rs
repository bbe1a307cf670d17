//! What `control` found: JSON for machines, a table for people.

use serde::Serialize;

use super::lanes::{FIRST, Lane};
use super::logins::{LOGINS, LoginSize};
use super::sizes::Size;
use super::{All, Control, Measured, STORMS};
use crate::report::{Budget, line, optional};
use crate::statistics::{median, paired, rounded};

/// Share of the machine that others may have had.
const UNDISTURBED: f64 = 0.1;

/// The whole result.
#[derive(Debug, Clone, Serialize)]
pub struct ControlReport {
    benchmark: &'static str,
    machine: Machine,
    rounds: usize,
    seconds_per_round: f64,
    connections: usize,
    /// An ID token, as it is presented and handed out.
    token_bytes: usize,
    /// What a raw GET reads: a grant's record.
    record_bytes: usize,
    /// Whether nothing else ran: otherwise the numbers mean little.
    undisturbed: bool,
    rows: Vec<Row>,
    sizes: Vec<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logins: Option<LoginSize>,
    budgets: Vec<Budget>,
}

/// What it was measured on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) cpu_model: String,
    pub(super) cores: usize,
    pub(super) valkey_version: String,
}

/// One lane. Medians of the rounds, unless stated otherwise.
#[derive(Debug, Clone, Serialize)]
struct Row {
    name: &'static str,
    /// Tokens (raw GETs, refreshed sessions) per second in a closed loop.
    rps: f64,
    rps_min: f64,
    rps_rounds: Vec<f64>,
    /// Latencies in that closed loop.
    p50_us: f64,
    p99_us: f64,
    /// `rps` by that of the raw GETs of as many callers in the same round; storms are compared with `raw_get`.
    ratio_to_raw_get: f64,
    /// Storms: sessions per second by the fake Dex's own refreshes per second in the same round.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to_dex_refresh: Option<f64>,
    requests: u64,
    /// CPU of the control services for each.
    control_cpu_us: f64,
    /// CPU of Valkey for each.
    valkey_cpu_us: f64,
    /// CPU of the callers for each; in storms with the fake Dex, which signs.
    caller_cpu_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_half_the_maximum: Option<Half>,
    /// Share of the machine that others had.
    foreign: f64,
}

/// Latency in an open loop.
#[derive(Debug, Clone, Serialize)]
struct Half {
    rps: f64,
    p50_us: f64,
    p99_us: f64,
    /// The worst round.
    p99_us_max: f64,
}

fn ratio(one: &Measured, other: &Measured) -> f64 {
    median(&paired(&one.per_second, &other.per_second, |one, other| {
        one / other
    }))
}

fn row(name: &'static str, base: &'static str, all: &All) -> Option<Row> {
    let (measured, base) = (all.get(name)?, all.get(base)?);
    let minimum = measured.per_second.iter().copied().reduce(f64::min);
    let dex = all.get(STORMS[0]).filter(|_| STORMS[1..].contains(&name));
    Some(Row {
        name,
        rps: median(&measured.per_second).round(),
        rps_min: minimum.unwrap_or_default().round(),
        rps_rounds: measured.per_second.iter().map(|rps| rps.round()).collect(),
        p50_us: rounded(median(&measured.p50_us)),
        p99_us: rounded(median(&measured.p99_us)),
        ratio_to_raw_get: thousandths(ratio(measured, base)),
        ratio_to_dex_refresh: dex.map(|dex| thousandths(ratio(measured, dex))),
        requests: measured.requests,
        control_cpu_us: rounded(median(&measured.control_us)),
        valkey_cpu_us: rounded(median(&measured.valkey_us)),
        caller_cpu_us: rounded(median(&measured.load_us)),
        at_half_the_maximum: (!measured.half_p99_us.is_empty()).then(|| Half {
            rps: measured.half_per_second,
            p50_us: rounded(median(&measured.half_p50_us)),
            p99_us: rounded(median(&measured.half_p99_us)),
            p99_us_max: rounded(measured.half_p99_us.iter().copied().fold(0.0, f64::max)),
        }),
        foreign: rounded(median(&measured.foreign)),
    })
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// From measurements to rows and budgets.
pub(super) fn report(
    options: &Control,
    machine: Machine,
    (token_bytes, record_bytes): (usize, usize),
    lanes: &[Lane],
    all: &All,
    (sizes, logins): (Vec<Size>, Option<LoginSize>),
) -> ControlReport {
    let lanes = lanes.iter().map(|lane| (lane.name, lane.base));
    let rows: Vec<Row> = lanes
        .chain(LOGINS)
        .chain([FIRST].into_iter().chain(STORMS).map(|name| (name, "raw_get")))
        .filter_map(|(name, base)| row(name, base, all))
        .collect();
    ControlReport {
        benchmark: "control",
        machine,
        rounds: options.rounds,
        seconds_per_round: options.round.as_secs_f64(),
        connections: options.connections,
        token_bytes,
        record_bytes,
        undisturbed: rows.iter().all(|row| row.foreign <= UNDISTURBED),
        budgets: budgets(&rows, &sizes),
        rows,
        sizes,
        logins,
    }
}

/// The budgets of which everything was measured.
fn budgets(rows: &[Row], sizes: &[Size]) -> Vec<Budget> {
    let of = |name: &str| rows.iter().find(|row| row.name == name);
    let share = |what: &'static str, name: &str, least: f64| {
        of(name).map(|row| Budget::at_least(what, least, row.ratio_to_raw_get))
    };
    let late = |what: &'static str, name: &str| {
        let half = of(name)?.at_half_the_maximum.as_ref()?;
        Some(Budget::at_most(what, 5.0, half.p99_us / 1000.0))
    };
    let largest = sizes.last();
    let flat = sizes.first().zip(largest).map(|(small, large)| {
        let ratios = paired(&large.p50_us_rounds, &small.p50_us_rounds, |large, small| {
            large / small
        });
        Budget::at_most(
            "look-up in the largest store / in the smallest",
            1.1,
            median(&ratios),
        )
    });
    let bytes = largest.map(|size| {
        let ratio = size.bytes_per_session / size.token_bytes as f64;
        Budget::at_most("bytes in Valkey / bytes of the tokens kept", 2.0, ratio)
    });
    let budgets = [
        share(
            "tokens for one caller / raw GETs of one caller",
            "valkey_one",
            0.4,
        ),
        share("tokens for several callers / raw GETs of as many", "valkey", 0.25),
        late("p99 from Valkey at half the maximum, ms", "valkey"),
        late("p99 of a named session at half the maximum, ms", "valkey_session"),
        bytes,
        flat,
    ];
    budgets.into_iter().flatten().collect()
}

impl ControlReport {
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
        let mut text = format!(
            "{} rounds of {} s, {} callers, tokens of {} bytes, records of {} bytes\n\n",
            self.rounds, self.seconds_per_round, self.connections, self.token_bytes, self.record_bytes
        );
        text += &self.lanes();
        text += &self.stores();
        if let Some(logins) = &self.logins {
            line(&mut text, &logins.line());
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

    fn lanes(&self) -> String {
        let mut text = format!(
            "{:<24}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
            "",
            "requests",
            "rps",
            "min",
            "p50 µs",
            "p99 µs",
            "/ raw",
            "/ dex",
            "CPU µs",
            "Valkey",
            "callers",
            "½ p50",
            "½ p99",
            "foreign"
        );
        for row in &self.rows {
            let half = row.at_half_the_maximum.as_ref();
            line(
                &mut text,
                &format!(
                    "{:<24}{:>10}{:>9.0}{:>9.0}{:>9.0}{:>9.0}{:>9.3}{:>9}{:>9.1}{:>9.1}{:>9.1}{:>9}{:>9}{:>9.2}",
                    row.name,
                    row.requests,
                    row.rps,
                    row.rps_min,
                    row.p50_us,
                    row.p99_us,
                    row.ratio_to_raw_get,
                    optional(row.ratio_to_dex_refresh),
                    row.control_cpu_us,
                    row.valkey_cpu_us,
                    row.caller_cpu_us,
                    optional(half.map(|half| half.p50_us)),
                    optional(half.map(|half| half.p99_us)),
                    row.foreign
                ),
            );
        }
        text
    }

    fn stores(&self) -> String {
        let mut text = String::new();
        for size in &self.sizes {
            if text.is_empty() {
                line(
                    &mut text,
                    &format!(
                        "\n{:<24}{:>10}{:>9}{:>9}{:>9}{:>9}",
                        "sessions", "bytes each", "tokens", "ratio", "p50 µs", "put/s"
                    ),
                );
            }
            line(
                &mut text,
                &format!(
                    "{:<24}{:>10.0}{:>9}{:>9.2}{:>9.1}{:>9.0}",
                    size.sessions,
                    size.bytes_per_session,
                    size.token_bytes,
                    size.bytes_per_session / size.token_bytes as f64,
                    size.p50_us,
                    size.sessions_put_per_second
                ),
            );
        }
        text
    }
}
