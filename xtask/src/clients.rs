//! `cargo xtask clients`: real MCP clients log in at our own authorization server, on real Envoy and real Dex, counted.

use std::process::ExitCode;

use anyhow::Result;

use crate::stories::CountedStoriesFlags;
use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup};

/// Where the stories write their counts; tests/clients reads it.
const JSON_FILE: &str = "TOKENWARD_CLIENTS_JSON";

/// Sets up, builds, and plays the stories, which print a table of their counts.
pub(crate) fn run(
    workspace: &Workspace,
    terminal: &Terminal,
    flags: &CountedStoriesFlags,
) -> Result<ExitCode> {
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
    flags.play(workspace, &["clients", "browser"], JSON_FILE)
}
