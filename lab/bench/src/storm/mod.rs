//! `storm`: all tokens have expired, control starts again, and every session requests its token at once. How long until all have a fresh
//! token, with exactly one refresh each, and what Dex has to bear meanwhile.

mod clients;
mod dex;
mod directory;
mod probe;
mod report;
mod stage;

use std::time::Duration;

use anyhow::ensure;
use tokenward_harness::parts::Metrics;

use self::clients::{Served, all_at_once};
use self::dex::StormDex;
use self::directory::Directory;
use self::probe::{Probe, Probed};
use self::stage::{Stage, Used};
use super::machine::cpus;

pub use report::StormReport;

/// How long Dex is probed before the storm.
const AT_REST: Duration = Duration::from_secs(3);

/// Settings of the benchmark.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Sessions, each of another user.
    pub sessions: usize,
    /// The limits of control's calls to Dex; a storm for each.
    pub limits: Vec<StormLimits>,
    /// Replicas of control; a storm for each number, with each of the limits.
    pub replicas: Vec<usize>,
}

/// Limits of a storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StormLimits {
    /// Calls per second, burst, concurrent calls; `None`: control's defaults.
    pub numbers: Option<[u32; 3]>,
}

/// What one storm was.
struct Measured {
    limits: StormLimits,
    replicas: usize,
    seconds: f64,
    /// Of each session.
    served: Vec<Served>,
    /// Refreshes that Dex's directory saw.
    refreshes: u64,
    at_rest: Probed,
    probed: Probed,
    used: Used,
    warnings: usize,
    store_commands: u64,
    metrics: Vec<Metrics>,
}

/// Runs the benchmark; `log` gets a line about its progress now and then.
///
/// # Errors
/// When something is missing, or a session was not refreshed exactly once.
pub async fn storm(options: &Storm, log: &dyn Fn(&str)) -> anyhow::Result<StormReport> {
    ensure!(options.sessions > 0, "at least one session");
    let (cpu_model, cores) = cpus();
    log(&format!(
        "{cores} cores, {cpu_model}\nnothing pinned: load, Dex, etcd, control and Valkey share all cores"
    ));
    let directory = Directory::start()?;
    let mut dex = StormDex::prepare(&directory)?;
    let mut storms = Vec::new();
    for limits in &options.limits {
        for replicas in &options.replicas {
            log(&format!("a storm with {} and {replicas} replicas", limits.name()));
            let case = (*limits, *replicas);
            let measured = Box::pin(one(&mut dex, &directory, options.sessions, case, log)).await?;
            log(&format!("all sessions fresh after {:.1} s", measured.seconds));
            storms.push(measured);
        }
    }
    Ok(report::report(options.sessions, (cpu_model, cores), &storms))
}

async fn one(
    dex: &mut StormDex,
    directory: &Directory,
    sessions: usize,
    (limits, replicas): (StormLimits, usize),
    log: &dyn Fn(&str),
) -> anyhow::Result<Measured> {
    let case = (limits, replicas);
    let (mut stage, requests) = Box::pin(Stage::with_expired_sessions(dex, sessions, case, log)).await?;
    let rest = Probe::start(dex.address())?;
    tokio::time::sleep(AT_REST).await;
    let at_rest = rest.end()?;
    directory.forget();
    let (commands, begun) = (stage.store_commands().await?, stage.moment(dex)?);
    let probe = Probe::start(dex.address())?;
    let served = all_at_once(&stage.addresses(), &requests).await?;
    let ended = stage.moment(dex)?;
    let probed = probe.end()?;
    let (users, fewest, most, refreshes) = directory.refreshes();
    ensure!(
        (users, fewest, most) == (sessions, 1, 1),
        "{users} of {sessions} sessions were refreshed, each {fewest} to {most} times"
    );
    // Nothing else was requested of this Dex before the storm.
    let (answers, good) = dex.answered().await?;
    ensure!(
        (answers, good) == (sessions as u64, sessions as u64),
        "Dex answered {answers} refreshes, {good} of them well"
    );
    Ok(Measured {
        limits,
        replicas,
        seconds: (ended.at - begun.at).as_secs_f64(),
        served,
        refreshes,
        at_rest,
        probed,
        used: begun.until(ended),
        warnings: stage.warnings(),
        store_commands: stage.store_commands().await? - commands,
        metrics: stage.metrics().await?,
    })
}

impl StormLimits {
    /// In a report.
    fn name(self) -> String {
        self.numbers.map_or_else(
            || "default".to_owned(),
            |[rate, burst, concurrent]| format!("{rate}/{burst}/{concurrent}"),
        )
    }
}
