//! `cargo xtask cluster`: the chart, its documentation and our programs against a real Kubernetes API server.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup, stories};

/// One Envoy Gateway at a time has its ports; the other stories go on beside it.
const AT_ONCE: usize = 2;

/// Flags of `cargo xtask cluster`.
#[derive(Debug, Args)]
pub(crate) struct ClusterFlags {
    /// Play every story and fail if a promise breaks
    #[arg(long, required = true)]
    check: bool,
    /// Only stories whose name contains this
    filter: Option<String>,
}

/// Sets up, builds, and plays the stories on one API server.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &ClusterFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &setup::SetupFlags::for_cluster())?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::native(
        workspace,
        terminal,
        "control and stories",
        &["--bins", "--test", "cluster"],
    )?;
    terminal.heading("stories on an API server");
    let kubectl_is_there = is_on_path("kubectl");
    stories::play_all(workspace, "cluster", flags.filter.as_deref(), AT_ONCE, |line| {
        !kubectl_is_there && line.contains("no kubectl on PATH")
    })
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
