//! The benchmarks of Tokenward, run by `cargo xtask bench`: see [`tokenward_bench`].

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde::Serialize;
use tokenward_bench::{Control, DataPath, Memory, Storm, StormLimits, control, data_path, memory, storm};
use tokenward_lab_cli::{BenchFlags, Benchmark, Look, Measurement, wrap};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", version)]
struct CommandLine {
    #[command(flatten)]
    flags: BenchFlags,
}

// One thread: load and servers have one core, the other is Envoy's.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = Box::pin(run(CommandLine::parse().flags)).await;
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(flags: BenchFlags) -> anyhow::Result<ExitCode> {
    let log = |text: &str| text.lines().for_each(|line| eprintln!("{}", wrapped(line)));
    match flags.benchmark {
        Benchmark::DataPath(flags) => {
            let options = DataPath {
                rounds: rounds(&flags.measurement, 40),
                round: round(&flags.measurement, 0.2),
                h2load_rounds: flags.h2load_rounds,
                h2load_round: flags.seconds_per_h2load_round,
                latency_rounds: flags.latency_rounds.get(),
                latency_round: flags.seconds_per_latency_round,
                connections: flags.measurement.connections.get(),
                only: flags.only,
            };
            let report = Box::pin(data_path(&options, &log)).await?;
            let good = report.is_within_budgets() && report.was_undisturbed();
            publish(&flags.measurement, &report, &report.table(), good)
        }
        Benchmark::Memory(flags) => {
            let options = Memory {
                servers: flags.servers,
                sessions: flags.sessions,
                rounds: rounds(&flags.measurement, 80),
                round: round(&flags.measurement, 0.2),
                connections: flags.measurement.connections.get(),
            };
            let report = Box::pin(memory(&options, &log)).await?;
            let good = report.is_within_budgets() && report.was_undisturbed();
            publish(&flags.measurement, &report, &report.table(), good)
        }
        Benchmark::Control(flags) => {
            let options = Control {
                rounds: rounds(&flags.measurement, 12),
                round: round(&flags.measurement, 2.0),
                connections: flags.measurement.connections.get(),
                only: flags.only,
                sessions: flags.sessions,
            };
            let report = Box::pin(control(&options, &log)).await?;
            let good = report.is_within_budgets() && report.was_undisturbed();
            publish(&flags.measurement, &report, &report.table(), good)
        }
        Benchmark::Storm(flags) => {
            let options = Storm {
                sessions: flags.sessions.get(),
                limits: flags
                    .limits
                    .iter()
                    .map(|limits| StormLimits { numbers: limits.0 })
                    .collect(),
                replicas: flags.replicas.iter().map(|replicas| replicas.get()).collect(),
            };
            let report = Box::pin(storm(&options, &log)).await?;
            let good = report.is_within_budgets() && report.was_undisturbed();
            let target = (flags.json.as_deref(), flags.enforce);
            publish_to(target, &report, &report.table(), good)
        }
    }
}

fn rounds(measurement: &Measurement, usual: usize) -> usize {
    measurement.rounds.map_or(usual, NonZeroUsize::get)
}

fn round(measurement: &Measurement, usual_seconds: f64) -> Duration {
    measurement
        .seconds_per_round
        .unwrap_or(Duration::from_secs_f64(usual_seconds))
}

/// Prints the table, writes the report where a file is named, and decides about the exit code.
fn publish(
    measurement: &Measurement,
    report: &impl Serialize,
    table: &str,
    good: bool,
) -> anyhow::Result<ExitCode> {
    publish_to(
        (measurement.json.as_deref(), measurement.enforce),
        report,
        table,
        good,
    )
}

fn publish_to(
    (json, enforce): (Option<&Path>, bool),
    report: &impl Serialize,
    table: &str,
    good: bool,
) -> anyhow::Result<ExitCode> {
    println!();
    for line in table.lines() {
        println!("{}", wrapped(line));
    }
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(report)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if enforce && !good {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Prose in lines of the terminal's width; a row of a table, in which columns are aligned by blanks, as it is.
fn wrapped(line: &str) -> String {
    if line.contains("   ") {
        return line.to_owned();
    }
    wrap(line, Look::of_stdout().columns).join("\n")
}
