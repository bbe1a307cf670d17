//! The benchmarks of Tokenward, run by `cargo xtask bench`: see [`tokenward_bench`].

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use tokenward_bench::{Control, DataPath, Memory, control, data_path, memory};

/// Measures what the filter costs in a real Envoy on this machine, and what a token costs at control.
///
/// Everything runs on 127.0.0.1. Numbers are worth something only on a machine that does nothing else meanwhile.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", version)]
struct CommandLine {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// CPU per request, latency and event streams: no filter, the floor, Tokenward's paths, jwt_authn, ext_authz
    DataPath {
        /// Only these (and no_filter and floor, which the others are compared with)
        #[arg(long, value_delimiter = ',', value_name = "NAME")]
        only: Vec<String>,
        /// Rounds of latency and event streams, after those of cost
        #[arg(long, default_value_t = 12, value_name = "N")]
        latency_rounds: usize,
        /// How long each configuration is measured in each of these
        #[arg(long, default_value_t = 0.5, value_name = "S")]
        seconds_per_latency_round: f64,
        #[command(flatten)]
        common: Common,
    },
    /// Envoy's memory over many sessions, and what a fresh request costs then
    Memory {
        /// Servers in the filter's configuration
        #[arg(long, default_value_t = 1000, value_name = "N")]
        servers: u64,
        /// Distinct sessions, one in ten of them refused
        #[arg(long, default_value_t = 1_000_000, value_name = "N")]
        sessions: u64,
        #[command(flatten)]
        common: Common,
    },
    /// The token endpoint against raw GETs on the same Valkey, a refresh storm, and the store at several sizes
    Control {
        /// Only these (and raw_get, raw_get_one): lanes, refresh_storm, sizes
        #[arg(long, value_delimiter = ',', value_name = "NAME")]
        only: Vec<String>,
        /// Sessions in the largest store, at least 1000
        #[arg(long, default_value_t = 1_000_000, value_name = "N")]
        sessions: u64,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Rounds; each measures every configuration [default: 100; control: 12]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long each configuration is measured at a time [default: 0.05; memory: 0.1; control: 2]
    #[arg(long, value_name = "S")]
    seconds_per_round: Option<f64>,
    /// Connections of the load generator
    #[arg(long, default_value_t = 8, value_name = "N")]
    connections: usize,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 if a budget is missed, or the machine was too busy to tell
    #[arg(long)]
    enforce: bool,
}

// One thread: load and servers have one core, the other is Envoy's.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = Box::pin(run(CommandLine::parse())).await;
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(command_line: CommandLine) -> anyhow::Result<ExitCode> {
    let say = |line: &str| eprintln!("{line}");
    match command_line.benchmark {
        Benchmark::DataPath {
            only,
            latency_rounds,
            seconds_per_latency_round,
            common,
        } => {
            let options = DataPath {
                rounds: common.rounds.unwrap_or(100),
                round: common.round(0.05)?,
                latency_rounds,
                latency_round: seconds("--seconds-per-latency-round", seconds_per_latency_round)?,
                connections: common.connections,
                only,
            };
            let report = Box::pin(data_path(&options, &say)).await?;
            let good = report.is_within_budgets() && report.was_undisturbed();
            common.tell(&report, &report.table(), good)
        }
        Benchmark::Memory {
            servers,
            sessions,
            common,
        } => {
            let options = Memory {
                servers,
                sessions,
                rounds: common.rounds.unwrap_or(100),
                round: common.round(0.1)?,
                connections: common.connections,
            };
            let report = Box::pin(memory(&options, &say)).await?;
            let good = report.is_within_budgets() && report.was_undisturbed();
            common.tell(&report, &report.table(), good)
        }
        Benchmark::Control {
            only,
            sessions,
            common,
        } => {
            let options = Control {
                rounds: common.rounds.unwrap_or(12),
                round: common.round(2.0)?,
                connections: common.connections,
                only,
                sessions,
            };
            let report = Box::pin(control(&options, &say)).await?;
            let good = report.is_within_budgets() && report.was_undisturbed();
            common.tell(&report, &report.table(), good)
        }
    }
}

impl Common {
    fn round(&self, usual: f64) -> anyhow::Result<Duration> {
        seconds("--seconds-per-round", self.seconds_per_round.unwrap_or(usual))
    }

    fn tell(&self, report: &impl Serialize, table: &str, good: bool) -> anyhow::Result<ExitCode> {
        print!("\n{table}");
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(report)? + "\n";
            std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(if self.enforce && !good {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn seconds(flag: &'static str, given: f64) -> anyhow::Result<Duration> {
    let duration = Duration::try_from_secs_f64(given).context(flag)?;
    anyhow::ensure!(!duration.is_zero(), "{flag} must be more than 0");
    Ok(duration)
}
