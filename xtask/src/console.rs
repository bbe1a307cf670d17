//! `cargo xtask console`: the operators' console in a real browser.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::runner_output::TestCounts;
use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, process, setup};

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
    let mut stories = workspace.cargo();
    stories
        .arg("test")
        .args(modules::package_flags())
        .args(["--test", "browser", "--"])
        // One after the other: each has a browser of its own.
        .args(["--nocapture", "--test-threads", "1"])
        .arg(format!(
            "console::{}",
            flags.filter.as_deref().unwrap_or_default()
        ));
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
