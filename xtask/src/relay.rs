//! `cargo xtask relay`: unmodified programs behind the relay, on real issuers, counted.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::runner_output::TestCounts;
use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, process, setup};

/// Where the stories write their counts; tests/relay reads it.
const JSON_FILE: &str = "TOKENWARD_RELAY_JSON";

/// Flags of `cargo xtask relay`.
#[derive(Debug, Args)]
pub(crate) struct RelayFlags {
    /// Play every story and fail if a promise breaks
    #[arg(long, required = true)]
    check: bool,
    /// Write all counts into this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only stories whose name contains this
    filter: Option<String>,
}

/// Sets up, builds, and plays the stories, which print a table of their counts.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &RelayFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &setup::SetupFlags::for_relay())?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::native(
        workspace,
        terminal,
        "control and stories",
        &["--bins", "--test", "relay"],
    )?;
    modules::control_with_failpoints(workspace, terminal)?;
    terminal.heading("stories behind the relay");
    let mut stories = workspace.cargo();
    stories
        .arg("test")
        .args(modules::package_flags())
        // One after the other: each plays its programs and issuers side by side.
        .args(["--test", "relay", "--", "--nocapture", "--test-threads", "1"])
        .args(&flags.filter);
    if let Some(file) = &flags.json {
        let file = std::env::current_dir()
            .context("no current directory")?
            .join(file);
        // Each story adds its counts to it.
        drop(std::fs::remove_file(&file));
        stories.env(JSON_FILE, file);
    }
    let run = process::echo(&mut stories)?;
    let counts = TestCounts::read(&format!("{}\n{}", run.stdout, run.stderr));
    if let Some(TestCounts { passed, failed }) = counts {
        println!("{passed} passed, {failed} failed");
    }
    Ok(if run.status.success() && counts.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
