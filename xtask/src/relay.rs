//! `cargo xtask relay`: unmodified programs behind the relay, on real issuers, counted.

use std::process::ExitCode;

use anyhow::Result;

use crate::stories::CountedStoriesFlags;
use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup};

/// Where the stories write their counts; tests/relay reads it.
const JSON_FILE: &str = "TOKENWARD_RELAY_JSON";

/// Sets up, builds, and plays the stories, which print a table of their counts.
pub(crate) fn run(
    workspace: &Workspace,
    terminal: &Terminal,
    flags: &CountedStoriesFlags,
) -> Result<ExitCode> {
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
    flags.play(workspace, &["relay"], JSON_FILE)
}
