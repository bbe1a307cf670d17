//! `cargo xtask relay`: unmodified programs behind the relay, on real issuers, counted.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup, stories};

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
    let counts = flags.json.as_deref().map(|file| (JSON_FILE, file));
    stories::play(workspace, &["relay"], flags.filter.as_deref(), counts)
}
