//! The demo of Tokenward, run by `cargo xtask demo`: see [`tokenward_demo`].

use std::io::stdout;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use tokenward_demo::{self as demo, Report, Screen};
use tokenward_harness::interruption::interruption;
use tokenward_harness::issuer::{FakeDex, Issuer};
use tokenward_harness::parts::RealDex;
use tokenward_harness::world::World;
use tokenward_lab_cli::{DemoFlags, Look};

/// Exit code of shells for SIGINT.
const INTERRUPTED: u8 = 130;
/// With `--check`, from the start of the first part to the last promise.
const CHECKED_WITHIN: Duration = Duration::from_secs(60);
/// Without `--check`: the machine may be slow.
const WATCHED_WITHIN: Duration = Duration::from_secs(300);

#[derive(Debug, Parser)]
#[command(name = "cargo xtask demo", bin_name = "cargo xtask demo", version)]
struct CommandLine {
    #[command(flatten)]
    flags: DemoFlags,
}

#[tokio::main]
async fn main() -> ExitCode {
    let CommandLine { flags } = CommandLine::parse();
    let screen = Screen::new(stdout(), Look::of_stdout());
    let ended = if flags.dex {
        Box::pin(run::<RealDex>(&flags, &screen)).await
    } else {
        Box::pin(run::<FakeDex>(&flags, &screen)).await
    };
    ended.unwrap_or_else(|error| {
        screen.clear_live();
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run<I: Issuer>(flags: &DemoFlags, screen: &Screen) -> anyhow::Result<ExitCode> {
    // What is interrupted is dropped, and with it every child process and folder.
    let (world, report) = tokio::select! {
        played = Box::pin(story::<I>(flags, screen)) => played?,
        interruption = interruption() => {
            screen.clear_live();
            return interruption.map(|()| ExitCode::from(INTERRUPTED));
        }
    };
    if !flags.check {
        tokio::select! {
            stayed = demo::stay_up(&world, screen) => match stayed? {},
            interruption = interruption() => interruption?,
        }
    }
    drop(world);
    if !flags.check {
        screen.note("Ended, with everything that it had started");
    }
    Ok(if report.broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn story<I: Issuer>(flags: &DemoFlags, screen: &Screen) -> anyhow::Result<(World<I>, Report)> {
    let begun = Instant::now();
    let world = Box::pin(demo::start(screen)).await?;
    let longest = if flags.check {
        CHECKED_WITHIN
    } else {
        WATCHED_WITHIN
    };
    let report = demo::play(&world, screen, longest.saturating_sub(begun.elapsed())).await;
    if let Some(file) = &flags.json {
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
