//! `cargo xtask console`: the operators' console in a real browser.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup, stories};

/// Flags of `cargo xtask console`.
#[derive(Debug, Args)]
pub(crate) struct ConsoleFlags {
    /// Play every story and fail if a promise breaks
    #[arg(long, required = true)]
    check: bool,
    /// Only stories whose name contains this
    filter: Option<String>,
}

/// Sets up, builds, and plays the stories of the console.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &ConsoleFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &setup::SetupFlags::for_console())?;
    terminal.heading("build");
    modules::native(workspace, terminal, "stories", &["--bins", "--test", "browser"])?;
    terminal.heading("the console in a browser");
    let names = format!("console::{}", flags.filter.as_deref().unwrap_or_default());
    stories::play(workspace, &["browser"], Some(&names), None)
}
