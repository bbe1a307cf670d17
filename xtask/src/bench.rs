//! `cargo xtask bench`: everything it needs in release, then the benchmark itself in this terminal.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::demo::hand_over;
use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup};

/// Flags of `cargo xtask bench`; all of them are the benchmark's own.
#[derive(Debug, Args)]
pub(crate) struct BenchFlags {
    /// Passed to the benchmark: `data-path`, `memory` or `control` and their flags, see `cargo xtask bench data-path --help`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "BENCHMARK"
    )]
    benchmark: Vec<OsString>,
}

/// Sets up, builds in release, then becomes the benchmark.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &BenchFlags) -> Result<ExitCode> {
    let parts = setup::SetupFlags::default().with_dex(false);
    setup::run(workspace, terminal, &parts)?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::baseline_module(workspace, terminal)?;
    modules::release(
        workspace,
        terminal,
        "benchmark",
        &["--bin", "tokenward-bench", "--bin", "tokenward"],
    )?;
    let binary = workspace.target().join("release/tokenward-bench");
    println!();
    hand_over(Command::new(&binary).args(&flags.benchmark))
        .with_context(|| format!("cannot start {}", workspace.shown(&binary)))
}
