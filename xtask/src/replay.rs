//! `cargo xtask replay`: everything it needs, then the replay itself in this terminal.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::demo::hand_over;
use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup};

/// Flags of `cargo xtask replay`; all of them are the replay's own.
#[derive(Debug, Args)]
pub(crate) struct ReplayFlags {
    /// Passed to the replay: `--check` fails if a promise broke, `--json FILE` writes the counts, `--svg FILE` the plot,
    /// `--dex` takes two real Dex as issuers (their build needs Go), `-- --help` (after the build) lists everything
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "REPLAY_FLAGS"
    )]
    replay_flags: Vec<OsString>,
}

/// Sets up, builds, then becomes the replay.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &ReplayFlags) -> Result<ExitCode> {
    let on_dex = flags.replay_flags.iter().any(|flag| flag == "--dex");
    setup::run(
        workspace,
        terminal,
        &setup::SetupFlags::default().with_dex(on_dex),
    )?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    let bins = ["--bin", "tokenward", "--bin", "tokenward-replay"];
    modules::native(workspace, terminal, "control and replay", &bins)?;
    let binary = workspace.target().join("debug/tokenward-replay");
    println!();
    hand_over(Command::new(&binary).args(&flags.replay_flags))
        .with_context(|| format!("cannot start {}", workspace.shown(&binary)))
}
