//! `cargo xtask lint`: every check that needs no running part.

mod circles;
mod deny;
mod files;
mod language;
mod links;
pub(crate) mod versions;
pub(crate) mod workflows;

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::modules::run_cargo;
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;
use crate::{chart_values, process};

/// Flags of `cargo xtask lint`.
#[derive(Debug, Args)]
pub(crate) struct LintFlags {
    /// Install cargo-deny into target/tools if it is missing (done anyway when CI=true); takes some minutes once
    #[arg(long)]
    install: bool,
}

type Check = fn(&Workspace, &Step) -> Result<Outcome>;

const CHECKS: [(&str, Check); 11] = [
    ("format", format),
    ("clippy", clippy),
    ("clippy on wasm", clippy_on_wasm),
    ("file lengths", files::lengths),
    ("import circles", circles::check),
    ("language", language::check),
    ("hosts and paths", files::hosts_and_paths),
    ("links", links::check),
    ("versions", versions::check),
    ("workflows", workflows::check),
    ("chart README", chart_values::check),
];

/// Runs every check, also after one failed, and fails at the end if any did.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &LintFlags) -> Result<ExitCode> {
    terminal.heading("lint");
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        if let Err(error) = terminal.step(name, |step| check(workspace, step)) {
            terminal.failure(&format!("{error:#}"));
            failed.push(name);
        }
    }
    failed.extend(deny::run(workspace, terminal, flags.install));
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("{} of the checks failed: {}", failed.len(), failed.join(", "))
}

fn format(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    let mut cargo = workspace.cargo();
    cargo.args(["fmt", "--all", "--check"]);
    process::capture(&mut cargo, step, Duration::from_secs(120))?
        .succeeded("cargo fmt (`cargo fmt --all` repairs it)")?;
    Ok(Outcome::new("passed", "cargo fmt --all --check"))
}

fn clippy(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    run_clippy(workspace, step, &["--workspace", "--all-targets"])
}

fn clippy_on_wasm(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    run_clippy(
        workspace,
        step,
        &[
            "--package",
            "tokenward-filter-core",
            "--package",
            "tokenward-filter",
            "--package",
            "tokenward-baseline-filter",
            "--package",
            "tokenward-bare-filter",
            "--target",
            "wasm32-unknown-unknown",
        ],
    )
}

fn run_clippy(workspace: &Workspace, step: &Step, selection: &[&str]) -> Result<Outcome> {
    let mut cargo = workspace.cargo();
    cargo
        .arg("clippy")
        .args(selection)
        .args(["--", "--deny", "warnings"]);
    run_cargo(cargo, step, "cargo clippy")?;
    Ok(Outcome::new(
        "passed",
        format!("cargo clippy {}", selection.join(" ")),
    ))
}

/// Files that git tracks, and new ones that it does not ignore; paths relative to the repository.
fn repository_files(workspace: &Workspace) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(workspace.root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = process::ask(&mut git)?.succeeded("git ls-files")?.stdout;
    let mut files: Vec<String> = listed
        .split('\0')
        .filter(|path| !path.is_empty() && workspace.root().join(path).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
