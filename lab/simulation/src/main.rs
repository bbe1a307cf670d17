//! The simulation, run by `cargo xtask simulate`: see [`tokenward_simulation`].

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tokenward_lab_cli::SimulateFlags;
use tokenward_simulation::{Incident, IssuerLimits, Options, simulate};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate", version)]
struct CommandLine {
    #[command(flatten)]
    flags: SimulateFlags,
}

fn main() -> ExitCode {
    run(&CommandLine::parse().flags).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(flags: &SimulateFlags) -> anyhow::Result<ExitCode> {
    let report = simulate(&options(flags), &|line| eprintln!("{line}"))?;
    println!("{}", report.table());
    if let Some(file) = &flags.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    for (promise, times) in &report.broken {
        eprintln!("broken promise: {promise} ({times} times)");
    }
    Ok(match report.is_whole() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn options(flags: &SimulateFlags) -> Options {
    let usual = Options::default();
    let incidents = flags.incidents.iter().filter_map(|name| match name.as_str() {
        "idle-night" => Some(Incident::IdleNight),
        "restart" => Some(Incident::Restart),
        "rotation" => Some(Incident::Rotation),
        "outage" => Some(Incident::Outage),
        _ => None,
    });
    Options {
        seed: flags.seed,
        threads: usize::from(flags.threads),
        envoys: flags.workers / usual.workers_per_envoy,
        sessions: flags.sessions,
        servers: flags.servers,
        minutes: flags.minutes,
        replicas: flags.replicas,
        limits: IssuerLimits {
            per_second: flags.issuer_rate,
            burst: flags.issuer_burst,
            concurrent: flags.issuer_concurrent,
        },
        issuer_per_second: flags.issuer_capacity,
        token_life_seconds: flags.token_life,
        envoys_per_session: flags.envoys_per_session,
        connections_per_session: flags.connections_per_session,
        incidents: incidents.collect(),
        ..usual
    }
}
