//! The demo of Tokenward, run by `cargo xtask demo`: see [`tokenward_demo`].

use std::io::stdout;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use tokenward_demo::{self as demo, Look, Report, Screen};
use tokenward_harness::interruption::interruption;
use tokenward_harness::issuer::{FakeDex, Issuer};
use tokenward_harness::parts::RealDex;
use tokenward_harness::world::World;

/// What shells make of SIGINT.
const INTERRUPTED: u8 = 130;
/// With `--check`, from the start of the first part to the last promise.
const CHECKED_WITHIN: Duration = Duration::from_secs(60);
/// A person may have a slow machine.
const WATCHED_WITHIN: Duration = Duration::from_secs(300);

/// Shows in this terminal how Tokenward stops, refreshes and exchanges stale ID tokens, in real time.
///
/// Everything runs on 127.0.0.1: two issuers, the control service, Envoy with the filter, two MCP servers. After the
/// story it stays up to be tried by hand, until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask demo", bin_name = "cargo xtask demo", version)]
struct CommandLine {
    /// Run the story without a person, within 60 s, and exit with 1 if any promise broke
    #[arg(long)]
    check: bool,
    /// Use two real Dex as issuers, built by `cargo xtask setup` where there is Go; without it, two in-process doubles
    #[arg(long)]
    dex: bool,
    /// Write the counts and promises to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let screen = Screen::new(stdout(), Look::of_stdout());
    let ended = if command_line.dex {
        Box::pin(run::<RealDex>(&command_line, &screen)).await
    } else {
        Box::pin(run::<FakeDex>(&command_line, &screen)).await
    };
    ended.unwrap_or_else(|error| {
        screen.clear_live();
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run<I: Issuer>(command_line: &CommandLine, screen: &Screen) -> anyhow::Result<ExitCode> {
    // What is interrupted is dropped, and with it every child process and folder.
    let (world, report) = tokio::select! {
        told = Box::pin(story::<I>(command_line, screen)) => told?,
        interruption = interruption() => {
            screen.clear_live();
            return interruption.map(|()| ExitCode::from(INTERRUPTED));
        }
    };
    if !command_line.check {
        tokio::select! {
            stayed = demo::stay_up(&world, screen) => match stayed? {},
            interruption = interruption() => interruption?,
        }
    }
    drop(world);
    if !command_line.check {
        screen.note("Ended, and so has everything that was started");
    }
    Ok(if report.broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn story<I: Issuer>(command_line: &CommandLine, screen: &Screen) -> anyhow::Result<(World<I>, Report)> {
    let begun = Instant::now();
    let world = Box::pin(demo::start(screen)).await?;
    let longest = if command_line.check {
        CHECKED_WITHIN
    } else {
        WATCHED_WITHIN
    };
    let report = demo::tell(&world, screen, longest.saturating_sub(begun.elapsed())).await;
    if let Some(file) = &command_line.json {
        write(&report, file)?;
    }
    for broken in &report.broken {
        eprintln!("broken promise: {broken}");
    }
    Ok((world, report))
}

fn write(report: &Report, file: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
