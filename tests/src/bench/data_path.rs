//! `data-path`: every lane, interleaved round by round in one run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::lanes::{COMPARED_WITH, LANES, Lane};
use super::load::{Done, Until, percentile_us};
use super::machine::{Machine, Pinning};
use super::report::{Report, is_undisturbed};
use super::setting::{Counts, Setting, request};
use super::statistics::{median, rounded};
use super::summary::{budgets, rows};

/// How long after the last answer every request must have been counted.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Settings of the benchmark.
#[derive(Debug, Clone)]
pub struct DataPath {
    /// Rounds; each measures every lane once.
    pub rounds: usize,
    /// How long each lane is measured in each round.
    pub round: Duration,
    /// Connections of the load generator.
    pub connections: usize,
    /// Only these lanes (and those that others are compared with); all when empty.
    pub only: Vec<String>,
}

/// One lane's measurements, one value for each round.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) requests: u64,
    pub(super) cpu_us: Vec<f64>,
    pub(super) per_second: Vec<f64>,
    /// p50, p99 and p99.9.
    pub(super) latency_us: Vec<[f64; 3]>,
    pub(super) latency_rate: f64,
    pub(super) chunk_us: Vec<f64>,
}

/// By lane.
pub(super) type All = BTreeMap<&'static str, Measured>;

/// Runs the benchmark; `say` gets a line about its progress now and then.
///
/// # Errors
/// When something is missing, or a lane does not do what its name says.
pub async fn data_path(options: &DataPath, say: &dyn Fn(&str)) -> anyhow::Result<Report> {
    ensure!(options.rounds > 0, "at least one round");
    let lanes = chosen(&options.only)?;
    let pinning = Pinning::of_this_process();
    let machine = Machine::look(pinning)?;
    say(&machine.describe());
    let setting = Setting::start(pinning).await?;
    let measured = Box::pin(measure(&setting, options, &lanes, say)).await;
    let all = measured.with_context(|| format!("Envoy said:\n{}", setting.gateway.log_tail()))?;
    let idle_us = setting.gateway.idle_us_per_second().await?;
    let rows = rows(&lanes, &all);
    Ok(Report {
        benchmark: "data-path",
        machine,
        rounds: options.rounds,
        seconds_per_round: options.round.as_secs_f64(),
        connections: options.connections,
        token_bytes: setting.tokens.fresh.len(),
        idle_cpu_us_per_second: rounded(idle_us),
        undisturbed: is_undisturbed(&rows),
        rows,
        memory: None,
        budgets: budgets(&lanes, &all),
    })
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<Lane>> {
    for name in only {
        let names: Vec<_> = LANES.iter().map(|lane| lane.name).collect();
        ensure!(
            names.contains(&name.as_str()),
            "no lane {name}; there are {names:?}"
        );
    }
    let wanted = |lane: &Lane| only.is_empty() || only.iter().any(|name| name == lane.name);
    let chosen = LANES.iter().enumerate();
    Ok(chosen
        .filter(|(number, lane)| *number < COMPARED_WITH || wanted(lane))
        .map(|(_, lane)| *lane)
        .collect())
}

async fn measure(
    setting: &Setting,
    options: &DataPath,
    lanes: &[Lane],
    say: &dyn Fn(&str),
) -> anyhow::Result<All> {
    let mut all: All = lanes
        .iter()
        .map(|lane| (lane.name, Measured::default()))
        .collect();
    for lane in lanes {
        // The first request of a lane asks control; V8 optimises what runs often.
        setting.load(lane, 1).await?.closed_loop(Until::Sent(1)).await?;
        let warm_up = options.round.max(Duration::from_secs(1));
        cost(setting, lane, options.connections, warm_up).await?;
    }
    for round in 0..options.rounds {
        say(&format!("cost: round {} of {}", round + 1, options.rounds));
        for lane in in_turn(lanes, round) {
            let (cpu_us, done) = cost(setting, lane, options.connections, options.round).await?;
            if let Some(of_lane) = all.get_mut(lane.name) {
                of_lane.requests += done.requests;
                of_lane.cpu_us.push(cpu_us);
                of_lane.per_second.push(done.requests as f64 / done.seconds);
            }
        }
    }
    let per_second = half_the_maximum(lanes, &all);
    for round in 0..options.rounds {
        let (number, rounds) = (round + 1, options.rounds);
        say(&format!(
            "latency at {per_second} requests/s, and event streams: round {number} of {rounds}"
        ));
        for lane in in_turn(lanes, round) {
            let Some(of_lane) = all.get_mut(lane.name) else {
                continue;
            };
            if lane.with_latency {
                let mut load = setting.load(lane, options.connections * 4).await?;
                let latencies_ns = load.open_loop(per_second, options.round).await?;
                of_lane.latency_us.push(percentiles_us(latencies_ns));
                of_lane.latency_rate = per_second;
            }
            if lane.with_stream {
                of_lane
                    .chunk_us
                    .push(chunk_cost(setting, lane, options.round).await?);
            }
        }
    }
    Ok(all)
}

/// Half of what the slowest of the lanes with latency can do: one rate for all of them.
fn half_the_maximum(lanes: &[Lane], all: &All) -> f64 {
    let slowest = lanes
        .iter()
        .filter(|lane| lane.with_latency)
        .filter_map(|lane| all.get(lane.name))
        .map(|of_lane| median(&of_lane.per_second))
        .fold(f64::INFINITY, f64::min);
    (slowest / 2.0).round()
}

/// p50, p99 and p99.9.
fn percentiles_us(mut latencies_ns: Vec<u64>) -> [f64; 3] {
    latencies_ns.sort_unstable();
    [0.5, 0.99, 0.999].map(|share| percentile_us(&latencies_ns, share))
}

/// Each round begins with another lane, so that none always follows the same one.
fn in_turn(lanes: &[Lane], round: usize) -> impl Iterator<Item = &Lane> {
    lanes.iter().cycle().skip(round % lanes.len()).take(lanes.len())
}

/// Envoy's CPU per request, microseconds, and what was done. Every request is accounted for.
async fn cost(
    setting: &Setting,
    lane: &Lane,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<(f64, Done)> {
    let mut load = setting.load(lane, connections).await?;
    let before = setting.counts(lane).await?;
    let (cpu_us, done) = setting
        .gateway
        .cost_us(&mut load, Until::Elapsed(duration))
        .await?;
    accounted_for(setting, lane, done.requests, before).await?;
    Ok((cpu_us, done))
}

/// Waits until the counters say what was done: the filter tells some of what it counted at its next tick.
async fn accounted_for(setting: &Setting, lane: &Lane, requests: u64, before: Counts) -> anyhow::Result<()> {
    let limit = Instant::now() + COUNTED_WITHIN;
    loop {
        let checked = lane.check(requests, before, setting.counts(lane).await?);
        if checked.is_ok() || Instant::now() > limit {
            return checked;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Envoy's CPU per chunk of an event stream, microseconds.
async fn chunk_cost(setting: &Setting, lane: &Lane, duration: Duration) -> anyhow::Result<f64> {
    let request = request("/forward/events", lane.token(&setting.tokens));
    let address = setting.gateway.address(lane.chain)?;
    let before_ns = setting.gateway.settled_cpu_ns().await?;
    let chunks = setting.events.read(address, &request, duration).await?;
    let cpu_ns = setting.gateway.settled_cpu_ns().await? - before_ns;
    Ok(cpu_ns as f64 / 1000.0 / chunks as f64)
}
