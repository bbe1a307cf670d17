//! `control`: what a token costs at the token endpoint, as a share of raw GETs on the same Valkey; the refresh storm;
//! and the store from a thousand to a million sessions.

mod lanes;
mod load;
mod logins;
mod people;
mod raw;
mod report;
mod sizes;
mod stage;
mod storm;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;

use self::lanes::{FIRST, LOGIN, Lane, SIZES, STORM, Target, chosen, wants};
use self::load::{Until, closed_loop, open_loop};
use self::logins::{LOGINS, LoginSize, Logins};
use self::sizes::{Filled, Size};
use self::stage::{Measurement, Presented, Stage};
use super::load::percentile_us;
use super::machine::cpus;
use super::statistics::median;
use tokenward_harness::issuer::DexConfig;

pub use report::ControlReport;

/// Settings of the benchmark.
#[derive(Debug, Clone)]
pub struct Control {
    /// Rounds; each measures everything once.
    pub rounds: usize,
    /// How long each lane is measured in each round.
    pub round: Duration,
    /// Callers of the lanes with several.
    pub connections: usize,
    /// Only these lanes and parts (and the raw GETs); all when empty.
    pub only: Vec<String>,
    /// Sessions in the largest store.
    pub sessions: u64,
}

/// One lane's measurements, one value for each round.
#[derive(Debug, Default)]
struct Measured {
    requests: u64,
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    control_us: Vec<f64>,
    valkey_us: Vec<f64>,
    load_us: Vec<f64>,
    foreign: Vec<f64>,
    /// At half of what the lane can do: rate, p50 and p99 of each round.
    half_per_second: f64,
    half_p50_us: Vec<f64>,
    half_p99_us: Vec<f64>,
}

/// By lane.
type All = BTreeMap<&'static str, Measured>;

/// The storms, and the refreshes without control that they are compared with.
const STORMS: [&str; 3] = ["dex_refresh", "refresh_storm", "refresh_storm_replicas"];

/// Runs the benchmark; `log` gets a line about its progress now and then.
///
/// # Errors
/// When something is missing, or a lane does not do what its name states.
pub async fn control(options: &Control, log: &dyn Fn(&str)) -> anyhow::Result<ControlReport> {
    ensure!(options.rounds > 0, "at least one round");
    let lanes = chosen(&options.only);
    let mut stage = Box::pin(Stage::start()).await?;
    let (cpu_model, cores) = cpus();
    let valkey_version = stage.raw.version().await?;
    log(&format!(
        "{cores} cores, {cpu_model}\nValkey {valkey_version}\nnothing pinned: load, fake Dex, control and Valkey share all cores"
    ));
    let presented = Presented {
        to_valkey: stage.storm().await?.0,
        to_embedded: stage.storm_embedded().await?.0,
    };
    stage.raw.copy_a_grant().await?;
    let like = presented.to_valkey[0].tokens.refresh_token.clone();
    let logins = match wants(&options.only, LOGIN) {
        true => Some(Logins::make(&stage, options.connections, &like).await?),
        false => None,
    };
    let mut all = All::new();
    Box::pin(rounds(
        &stage,
        options,
        &lanes,
        (&presented, logins.as_ref()),
        &mut all,
        log,
    ))
    .await?;
    Box::pin(at_half_the_maximum(
        &stage, options, &lanes, &presented, &mut all, log,
    ))
    .await?;
    let token_bytes = presented.to_valkey[0].tokens.id_token.len();
    let record_bytes = stage.raw.record_bytes();
    drop(stage);
    let login_size = match logins {
        Some(_) => Some(Box::pin(login_size(&like, log)).await?),
        None => None,
    };
    let sizes = if wants(&options.only, SIZES) {
        Box::pin(at_sizes(options, &like, log)).await?
    } else {
        Vec::new()
    };
    let machine = report::Machine {
        cpu_model,
        cores,
        valkey_version,
    };
    Ok(report::report(
        options,
        machine,
        (token_bytes, record_bytes),
        &lanes,
        &all,
        (sizes, login_size),
    ))
}

/// A store of its own, with logins only.
async fn login_size(like: &str, log: &dyn Fn(&str)) -> anyhow::Result<LoginSize> {
    log("filling a store with logins of MCP clients");
    let dex = tokenward_harness::issuer::FakeDex::start(DexConfig::default()).await?;
    LoginSize::measure(&dex, like).await
}

impl Measured {
    fn add(&mut self, measurement: &Measurement) {
        let Measurement { done, used } = measurement;
        self.requests += done.requests;
        self.per_second.push(done.requests as f64 / done.seconds);
        self.p50_us.push(percentile_us(&done.latencies_ns, 0.5));
        self.p99_us.push(percentile_us(&done.latencies_ns, 0.99));
        let each_us = |ns: u64| ns as f64 / 1000.0 / done.requests as f64;
        self.control_us.push(each_us(used.control_ns));
        self.valkey_us.push(each_us(used.valkey_ns));
        self.load_us.push(each_us(used.load_ns));
        self.foreign.push(used.foreign);
    }
}

/// Everything once in each round, beginning with another lane each time.
async fn rounds(
    stage: &Stage,
    options: &Control,
    lanes: &[Lane],
    (presented, logins): (&Presented, Option<&Logins>),
    all: &mut All,
    log: &dyn Fn(&str),
) -> anyhow::Result<()> {
    for lane in lanes {
        warm_up(stage, options, lane, presented).await?;
    }
    for round in 0..options.rounds {
        log(&format!("round {} of {}", round + 1, options.rounds));
        for lane in in_turn(lanes, round) {
            let measurement = measure(stage, options, lane, presented).await?;
            all.entry(lane.name).or_default().add(&measurement);
        }
        if wants(&options.only, FIRST) {
            let measurement = stage.first_sights(options.connections).await?;
            all.entry(FIRST).or_default().add(&measurement);
        }
        if let Some(logins) = logins {
            for ((name, _), callers) in LOGINS.into_iter().zip([1, options.connections]) {
                let measurement = logins.refreshed(stage, callers, options.round).await?;
                all.entry(name).or_default().add(&measurement);
            }
        }
        if wants(&options.only, STORM) {
            let without = stage.refreshes_without_control().await?;
            let (_, storm) = stage.storm().await?;
            let at_replicas = stage.storm_at_replicas().await?;
            for (name, measurement) in STORMS.into_iter().zip([without, storm, at_replicas]) {
                all.entry(name).or_default().add(&measurement);
            }
        }
    }
    Ok(())
}

/// Keys are fetched, connections are warm, allocators have what they need, and each pair is recorded for the console: twenty of
/// them in a second.
async fn warm_up(stage: &Stage, options: &Control, lane: &Lane, presented: &Presented) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let begun = Instant::now();
    loop {
        match measure(stage, options, lane, presented).await {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
    }
}

/// One lane in a closed loop. Every request is accounted for.
async fn measure(
    stage: &Stage,
    options: &Control,
    lane: &Lane,
    presented: &Presented,
) -> anyhow::Result<Measurement> {
    let requests = stage.requests(lane, presented);
    let clients = stage.clients(lane, &requests, options.connections).await?;
    let (before, begun) = (stage.counts(lane).await?, stage.moment()?);
    let done = closed_loop(clients, Until::Elapsed(options.round)).await?;
    let used = begun.until(stage.moment()?);
    lane.check(done.requests, stage.counts(lane).await?.since(before))?;
    Ok(Measurement { done, used })
}

/// Latency at half of the rate that the lane can serve.
async fn at_half_the_maximum(
    stage: &Stage,
    options: &Control,
    lanes: &[Lane],
    presented: &Presented,
    all: &mut All,
    log: &dyn Fn(&str),
) -> anyhow::Result<()> {
    let busy: Vec<Lane> = lanes
        .iter()
        .filter(|lane| lane.target != Target::Raw && !lane.one_caller)
        .copied()
        .collect();
    for round in 0..options.rounds {
        log(&format!(
            "half the maximum: round {} of {}",
            round + 1,
            options.rounds
        ));
        for lane in in_turn(&busy, round) {
            let Some(measured) = all.get_mut(lane.name) else {
                continue;
            };
            measured.half_per_second = (median(&measured.per_second) / 2.0).round();
            let requests = stage.requests(lane, presented);
            let clients = stage.clients(lane, &requests, options.connections * 4).await?;
            let (before, begun) = (stage.counts(lane).await?, stage.moment()?);
            let done = open_loop(clients, measured.half_per_second, options.round).await?;
            let used = begun.until(stage.moment()?);
            lane.check(done.requests, stage.counts(lane).await?.since(before))?;
            measured.half_p50_us.push(percentile_us(&done.latencies_ns, 0.5));
            measured.half_p99_us.push(percentile_us(&done.latencies_ns, 0.99));
            measured.foreign.push(used.foreign);
        }
    }
    Ok(())
}

/// Each round begins with another lane, so that none always follows the same one.
fn in_turn(lanes: &[Lane], round: usize) -> impl Iterator<Item = &Lane> {
    lanes
        .iter()
        .cycle()
        .skip(round % lanes.len().max(1))
        .take(lanes.len())
}

/// One Valkey and one control service for each size, looked up in turn.
async fn at_sizes(options: &Control, like: &str, log: &dyn Fn(&str)) -> anyhow::Result<Vec<Size>> {
    let dex = tokenward_harness::issuer::FakeDex::start(DexConfig::default()).await?;
    let mut stores: Vec<Filled> = Vec::new();
    for sessions in sizes::sizes(options.sessions) {
        log(&format!("filling a store with {sessions} sessions"));
        let filled = Box::pin(sizes::fill(&dex, sessions, like)).await?;
        filled.warm_up().await?;
        stores.push(filled);
    }
    log("looking up sessions");
    for round in 0..options.rounds * sizes::LOOK_UPS_IN_A_ROUND {
        let first = round % stores.len().max(1);
        stores.rotate_left(first);
        for store in &mut stores {
            store.look_up().await?;
        }
        stores.rotate_right(first);
    }
    Ok(stores.into_iter().map(Filled::size).collect())
}
