//! The replay of the incident, run by `cargo xtask replay`: see [`tokenward_replay`].

use std::io::stdout;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tokenward_demo::{Look, Screen};
use tokenward_harness::interruption::interruption;
use tokenward_harness::issuer::{FakeDex, Issuer};
use tokenward_harness::parts::RealDex;
use tokenward_replay::{self as replay, Pace, Replay};

/// What shells make of SIGINT.
const INTERRUPTED: u8 = 130;

/// Replays the incident that started this project twice, first without the filter and then with it, a minute a second.
///
/// Everything runs on 127.0.0.1: two issuers, Valkey, the control service, Envoy, 17 MCP servers, and an aggregator that
/// behaves as it did. It takes three minutes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask replay", bin_name = "cargo xtask replay", version)]
struct CommandLine {
    /// Exit with 1 if any promise broke
    #[arg(long)]
    check: bool,
    /// Use two real Dex as issuers, built by `cargo xtask setup` where there is Go; without it, two in-process doubles
    #[arg(long)]
    dex: bool,
    /// Write the counts to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the plot of errors a minute to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let screen = Screen::new(stdout(), Look::of_stdout());
    // What is interrupted is dropped, and with it every child process and folder.
    let ended = tokio::select! {
        ended = Box::pin(run(&command_line, &screen)) => ended,
        interrupted = interruption() => interrupted.map(|()| ExitCode::from(INTERRUPTED)),
    };
    screen.clear_live();
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(command_line: &CommandLine, screen: &Screen) -> anyhow::Result<ExitCode> {
    let replay = if command_line.dex {
        Box::pin(told::<RealDex>(screen)).await?
    } else {
        Box::pin(told::<FakeDex>(screen)).await?
    };
    replay.print(screen);
    if let Some(file) = &command_line.json {
        write(&(serde_json::to_string_pretty(&replay)? + "\n"), file)?;
    }
    if let Some(file) = &command_line.svg {
        write(&replay::svg(&replay), file)?;
    }
    let broken = replay.broken();
    for promise in &broken {
        eprintln!("broken promise: {promise}");
    }
    Ok(match command_line.check && !broken.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

async fn told<I: Issuer>(screen: &Screen) -> anyhow::Result<Replay> {
    let pace = Pace::incident();
    screen.title(
        "The incident, replayed without the filter and with it",
        &format!(
            "{:.0} times as fast: a minute of the incident takes {:.0} s. Issuers: {}.",
            pace.compression(),
            pace.minute.as_secs_f64(),
            I::KIND
        ),
    );
    Box::pin(replay::both::<I>(pace, screen)).await
}

fn write(text: &str, file: &Path) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
