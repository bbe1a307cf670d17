//! `cargo xtask clients`: real MCP clients log in at our own authorization server, on real Envoy and real Dex, counted.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup, stories};

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
    let counts = flags.json.as_deref().map(|file| (JSON_FILE, file));
    stories::play(
        workspace,
        &["clients", "browser"],
        flags.filter.as_deref(),
        counts,
    )
}
