//! The replay of the incident, run by `cargo xtask replay`: see [`tokenward_replay`].

use std::io::stdout;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tokenward_demo::Screen;
use tokenward_harness::interruption::interruption;
use tokenward_harness::issuer::{FakeDex, Issuer};
use tokenward_harness::parts::RealDex;
use tokenward_lab_cli::{Look, ReplayFlags};
use tokenward_replay::{self as replay, Pace, Replay};

/// Exit code of shells for SIGINT.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask replay", bin_name = "cargo xtask replay", version)]
struct CommandLine {
    #[command(flatten)]
    flags: ReplayFlags,
}

#[tokio::main]
async fn main() -> ExitCode {
    let CommandLine { flags } = CommandLine::parse();
    let screen = Screen::new(stdout(), Look::of_stdout());
    // What is interrupted is dropped, and with it every child process and folder.
    let ended = tokio::select! {
        ended = Box::pin(run(&flags, &screen)) => ended,
        interrupted = interruption() => interrupted.map(|()| ExitCode::from(INTERRUPTED)),
    };
    screen.clear_live();
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(flags: &ReplayFlags, screen: &Screen) -> anyhow::Result<ExitCode> {
    let replay = if flags.dex {
        Box::pin(replay_on::<RealDex>(screen)).await?
    } else {
        Box::pin(replay_on::<FakeDex>(screen)).await?
    };
    replay.print(screen);
    if let Some(file) = &flags.json {
        write(&(serde_json::to_string_pretty(&replay)? + "\n"), file)?;
    }
    if let Some(file) = &flags.table {
        write(&replay::markdown(&replay), file)?;
    }
    if let Some(file) = &flags.svg {
        write(&replay::svg(&replay), file)?;
    }
    let broken = replay.broken();
    for promise in &broken {
        eprintln!("broken promise: {promise}");
    }
    Ok(match flags.check && !broken.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

async fn replay_on<I: Issuer>(screen: &Screen) -> anyhow::Result<Replay> {
    let pace = Pace::incident();
    screen.title(
        "The incident, replayed without the filter, with it, and unregistered without and with a relay",
        &format!(
            "{:.0} times as fast: a minute of the incident takes {:.0} s. Issuers: {}.",
            pace.compression(),
            pace.minute.as_secs_f64(),
            I::KIND
        ),
    );
    Box::pin(replay::all::<I>(pace, screen)).await
}

fn write(text: &str, file: &Path) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
