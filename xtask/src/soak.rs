//! `cargo xtask soak`: the long tests, minutes of load on real Envoy.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use crate::runner_output::TestCounts;
use crate::terminal::{Terminal, shown_duration};
use crate::workspace::Workspace;
use crate::{modules, process, setup};

/// Flags of `cargo xtask soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakFlags {
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// Runs the long tests one after the other, with their progress shown. Each has a deadline of its own; together they
/// end within 25 minutes.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &SoakFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &setup::SetupFlags::default().with_dex(false))?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::native(workspace, terminal, "services and tests", &["--bins", "--tests"])?;
    modules::control_with_failpoints(workspace, terminal)?;
    terminal.heading("soak");
    let start = Instant::now();
    let mut cargo = workspace.cargo();
    // nextest would keep the progress back until a test has ended.
    cargo
        .arg("test")
        .args(modules::package_flags())
        .args(["--test", "soak", "--"]);
    cargo.args(["--ignored", "--nocapture", "--test-threads", "1"]);
    cargo.args(&flags.filter);
    let run = process::echo(&mut cargo)?;
    terminal.note(&format!(
        "the long tests took {}",
        shown_duration(start.elapsed())
    ));
    match TestCounts::read(&format!("{}\n{}", run.stdout, run.stderr)) {
        Some(TestCounts { passed: 0, failed: 0 }) => bail!("no long test has such a name"),
        Some(TestCounts { passed, failed }) => println!("{passed} passed, {failed} failed"),
        None => {}
    }
    Ok(match run.status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
