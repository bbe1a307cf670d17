//! `cargo xtask demo`: everything it needs, then the demo itself in this terminal.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup};

/// Flags of `cargo xtask demo`; all of them are the demo's own.
#[derive(Debug, Args)]
pub(crate) struct DemoFlags {
    /// Passed to the demo: `--check` runs the story without a person and fails if a promise broke, `--json FILE`
    /// writes the counts, `--dex` takes two real Dex as issuers (their build needs Go), `-- --help` (after the build)
    /// lists everything
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "DEMO_FLAGS"
    )]
    demo_flags: Vec<OsString>,
}

/// Sets up, builds, then becomes the demo.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &DemoFlags) -> Result<ExitCode> {
    let on_dex = flags.demo_flags.iter().any(|flag| flag == "--dex");
    let parts = setup::SetupFlags::default().with_dex(on_dex);
    setup::run(workspace, terminal, &parts)?;
    modules::build_all(workspace, terminal)?;
    let binary = workspace.target().join("debug/tokenward-demo");
    println!();
    hand_over(Command::new(&binary).args(&flags.demo_flags))
        .with_context(|| format!("cannot start {}", workspace.shown(&binary)))
}

/// Replaces this process, so that Ctrl-C and the exit code are the demo's own.
#[cfg(unix)]
pub(crate) fn hand_over(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
pub(crate) fn hand_over(command: &mut Command) -> Result<ExitCode> {
    Ok(if command.status()?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
