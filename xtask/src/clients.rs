//! `cargo xtask clients`: real MCP clients log in at our own authorization server, on real Envoy and real Dex, counted.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::runner_output::TestCounts;
use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, process, setup};

/// Where the stories write their counts; tests/clients reads it.
const JSON_FILE: &str = "TOKENWARD_CLIENTS_JSON";

/// Flags of `cargo xtask clients`.
#[derive(Debug, Args)]
pub(crate) struct ClientsFlags {
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
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &ClientsFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &setup::SetupFlags::for_clients())?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::native(
        workspace,
        terminal,
        "control and stories",
        &["--bins", "--test", "clients", "--test", "browser"],
    )?;
    terminal.heading("clients and the conformance suite");
    let mut stories = workspace.cargo();
    stories
        .arg("test")
        .args(modules::package_flags())
        // One after the other: each plays its clients side by side.
        .args(["--test", "clients", "--test", "browser"])
        .args(["--", "--nocapture", "--test-threads", "1"])
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
