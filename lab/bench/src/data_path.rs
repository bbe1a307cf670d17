//! `data-path`: every lane, interleaved round by round in one run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::h2load::H2load;
use super::lanes::{BARE, FLOOR, LANES, Lane, NO_FILTER};
use super::load::percentile_us;
use super::machine::{Machine, Pinning};
use super::report::{LatencyRounds, Report, SecondLoad, is_undisturbed};
use super::rounds::{Generator, Rounds};
use super::setting::Setting;
use super::statistics::{median, rounded};
use super::summary::{budgets, rows};

/// How long each lane runs before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Fewest requests of a moment of h2load.
const FEWEST_REQUESTS: u64 = 100;
/// Rounds between two lines about the progress.
const SAY_EVERY: usize = 10;

/// Settings of the benchmark.
#[derive(Debug, Clone)]
pub struct DataPath {
    /// Rounds; each measures every lane for a moment.
    pub rounds: usize,
    /// How long a moment is.
    pub round: Duration,
    /// Rounds with the load of h2load.
    pub h2load_rounds: usize,
    /// How long a moment of these is, about.
    pub h2load_round: Duration,
    /// Rounds of latency and event streams.
    pub latency_rounds: usize,
    /// How long each lane is measured in each of these.
    pub latency_round: Duration,
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
    /// Less what `base` cost right before and after.
    pub(super) added_us: Vec<f64>,
    /// The same as shares of what `no_filter` cost beside it; of several moments in a round the mean.
    pub(super) added_shares: Vec<f64>,
    pub(super) per_second: Vec<f64>,
    /// p50, p99 and p99.9.
    pub(super) latency_us: Vec<[f64; 3]>,
    pub(super) latency_rate: f64,
    pub(super) chunk_us: Vec<f64>,
}

/// By lane.
pub(super) type All = BTreeMap<&'static str, Measured>;

/// Runs the benchmark; `log` gets a line about its progress now and then.
///
/// # Errors
/// When something is missing, or a lane does not do what its name states.
pub async fn data_path(options: &DataPath, log: &dyn Fn(&str)) -> anyhow::Result<Report> {
    ensure!(
        options.rounds > 0 && options.latency_rounds > 0,
        "at least one round"
    );
    let pinning = Pinning::of_this_process();
    let machine = Machine::look(pinning)?;
    log(&machine.describe());
    let lanes = chosen(&options.only);
    let setting = Setting::start(pinning, &lanes).await?;
    let lanes = lanes
        .into_iter()
        .filter(|lane| setting.left_out.is_none() || !lane.is_installed())
        .collect::<Vec<_>>();
    let h2load = H2load::find()?.filter(|_| options.h2load_rounds > 0);
    let measured = Box::pin(measure(&setting, options, &lanes, h2load.as_ref(), log)).await;
    let (all, by_h2load) =
        measured.with_context(|| format!("Envoy said:\n{}", setting.gateway.log_tail()))?;
    let idle_us = setting.gateway.idle_us_per_second().await?;
    let rows = rows(&lanes, &all, &by_h2load);
    Ok(Report {
        benchmark: "data-path",
        machine,
        rounds: options.rounds,
        seconds_per_round: options.round.as_secs_f64(),
        left_out: left_out(&setting, options, h2load.as_ref()),
        second_load: h2load.map(|h2load| SecondLoad {
            program: h2load.version,
            rounds: options.h2load_rounds,
            seconds_per_round: options.h2load_round.as_secs_f64(),
        }),
        latency: Some(LatencyRounds {
            rounds: options.latency_rounds,
            seconds_per_round: options.latency_round.as_secs_f64(),
        }),
        connections: options.connections,
        token_bytes: setting.tokens.fresh.len(),
        idle_cpu_us_per_second: rounded(idle_us),
        undisturbed: is_undisturbed(&rows),
        rows,
        memory: None,
        budgets: budgets(&lanes, &all),
    })
}

/// What is not measured, for the report.
fn left_out(setting: &Setting, options: &DataPath, h2load: Option<&H2load>) -> Vec<String> {
    let h2load = match (options.h2load_rounds, h2load) {
        (0, _) => Some("the second load generator: --h2load-rounds is 0"),
        (_, None) => Some("the second load generator: there is no h2load (Debian's package nghttp2-client)"),
        (_, Some(_)) => None,
    };
    let others = h2load.map(str::to_owned).into_iter();
    setting.left_out.iter().cloned().chain(others).collect()
}

/// The lanes named, or all, with those that they are compared with.
fn chosen(only: &[String]) -> Vec<Lane> {
    let named = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    let is_compared_with = |lane: &Lane| {
        let mut others = LANES.iter();
        others.any(|other| (other.base == lane.name || other.floor == lane.name) && named(other.name))
    };
    let wanted = |lane: &&Lane| {
        [NO_FILTER, FLOOR, BARE].contains(&lane.name) || named(lane.name) || is_compared_with(lane)
    };
    LANES.iter().filter(wanted).copied().collect()
}

/// By the own load generator, and by the other one.
async fn measure(
    setting: &Setting,
    options: &DataPath,
    lanes: &[Lane],
    h2load: Option<&H2load>,
    log: &dyn Fn(&str),
) -> anyhow::Result<(All, All)> {
    let mut all = nothing_of(lanes);
    let rounds = Rounds {
        setting,
        lanes,
        load: Generator::Own(options.round),
        connections: options.connections,
    };
    log("warm-up");
    rounds.warm_up(options.round.max(WARM_UP)).await?;
    for round in 0..options.rounds {
        if round % SAY_EVERY == 0 {
            log(&format!("cost: round {} of {}", round + 1, options.rounds));
        }
        rounds.run(round, &mut all).await?;
    }
    let by_h2load = match h2load {
        Some(h2load) => measure_by_h2load(setting, options, lanes, (h2load, &all), log).await?,
        None => All::new(),
    };
    let per_second = half_the_maximum(lanes, &all);
    for round in 0..options.latency_rounds {
        let (number, rounds) = (round + 1, options.latency_rounds);
        log(&format!(
            "latency at {per_second} requests/s, and event streams: round {number} of {rounds}"
        ));
        for lane in in_turn(lanes, round) {
            if let Some(of_lane) = all.get_mut(lane.name) {
                latency_and_stream(setting, options, lane, per_second, of_lane).await?;
            }
        }
    }
    Ok((all, by_h2load))
}

fn nothing_of(lanes: &[Lane]) -> All {
    let lanes = lanes.iter();
    lanes.map(|lane| (lane.name, Measured::default())).collect()
}

/// The rounds of the other load generator: as many requests of each lane as take about the time of a moment.
async fn measure_by_h2load(
    setting: &Setting,
    options: &DataPath,
    lanes: &[Lane],
    (h2load, by_own): (&H2load, &All),
    log: &dyn Fn(&str),
) -> anyhow::Result<All> {
    let mut all = nothing_of(lanes);
    let requests = |lane: &Lane| {
        let per_second = median(&by_own[lane.name].per_second);
        let requests = per_second * options.h2load_round.as_secs_f64();
        (requests as u64).max(FEWEST_REQUESTS)
    };
    let rounds = Rounds {
        setting,
        lanes,
        load: Generator::H2load(h2load, &requests),
        connections: options.connections,
    };
    for round in 0..options.h2load_rounds {
        log(&format!(
            "cost by h2load: round {} of {}",
            round + 1,
            options.h2load_rounds
        ));
        rounds.run(round, &mut all).await?;
    }
    Ok(all)
}

async fn latency_and_stream(
    setting: &Setting,
    options: &DataPath,
    lane: &Lane,
    per_second: f64,
    of_lane: &mut Measured,
) -> anyhow::Result<()> {
    if lane.with_latency {
        let mut load = setting.load(lane, options.connections * 4).await?;
        let latencies_ns = load.open_loop(per_second, options.latency_round).await?;
        of_lane.latency_us.push(percentiles_us(latencies_ns));
        of_lane.latency_rate = per_second;
    }
    if lane.with_stream {
        let chunk_us = chunk_cost(setting, lane, options.latency_round).await?;
        of_lane.chunk_us.push(chunk_us);
    }
    Ok(())
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

/// Each round of latency begins with another lane, so that none always follows the same one.
fn in_turn(lanes: &[Lane], round: usize) -> impl Iterator<Item = &Lane> {
    lanes.iter().cycle().skip(round % lanes.len()).take(lanes.len())
}

/// Envoy's CPU per chunk of an event stream, microseconds.
async fn chunk_cost(setting: &Setting, lane: &Lane, duration: Duration) -> anyhow::Result<f64> {
    let request = setting.request(lane, "/forward/events");
    let address = setting.gateway.address(lane.chain)?;
    let before_ns = setting.gateway.settled_cpu_ns().await?;
    let chunks = setting.events.read(address, &request, duration).await?;
    let cpu_ns = setting.gateway.settled_cpu_ns().await? - before_ns;
    Ok(cpu_ns as f64 / 1000.0 / chunks as f64)
}
