//! cargo-deny: licences, sources, bans, and advisories where their database can be reached.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::modules::run_cargo;
use crate::process;
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

const NAME: &str = "cargo-deny";
const LONGEST_CHECK: Duration = Duration::from_secs(120);

/// Runs cargo-deny's checks; answers with the names of those that failed.
pub(super) fn run(workspace: &Workspace, terminal: &Terminal, install: bool) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for (name, check) in [
        (
            NAME,
            (|workspace, step, install| offline_checks(workspace, step, install)) as Check,
        ),
        ("advisories", |workspace, step, _| advisories(workspace, step)),
    ] {
        if let Err(error) = terminal.step(name, |step| check(workspace, step, install)) {
            terminal.failure(&format!("{error:#}"));
            failed.push(name);
        }
    }
    failed
}

type Check = fn(&Workspace, &Step, bool) -> Result<Outcome>;

fn offline_checks(workspace: &Workspace, step: &Step, install: bool) -> Result<Outcome> {
    if installed(workspace).is_none() {
        let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        if !install && !ci {
            return Ok(Outcome::skipped(
                "cargo-deny is not installed; `cargo xtask lint --install` gets it",
            ));
        }
        install_it(workspace, step)?;
    }
    let Some(mut deny) = installed(workspace) else {
        bail!("cargo-deny was installed but does not run")
    };
    deny.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    process::capture(&mut deny, step, LONGEST_CHECK)?.succeeded("cargo deny check")?;
    Ok(Outcome::new("passed", "bans, licences, sources"))
}

/// The database comes from the network: fetched first, so that "unreachable" and "found something" stay apart.
fn advisories(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    let (Some(mut fetch), Some(mut check)) = (installed(workspace), installed(workspace)) else {
        return Ok(Outcome::skipped("needs cargo-deny"));
    };
    step.now("fetching the advisory database");
    fetch.args(["fetch", "db"]);
    let fetched = process::capture(&mut fetch, step, LONGEST_CHECK);
    if !fetched.is_ok_and(|run| run.status.success()) {
        return Ok(Outcome::skipped(
            "the advisory database cannot be reached from here",
        ));
    }
    check.args(["check", "--hide-inclusion-graph", "advisories"]);
    process::capture(&mut check, step, LONGEST_CHECK)?.succeeded("cargo deny check advisories")?;
    Ok(Outcome::new("passed", "no known advisory for any dependency"))
}

/// cargo-deny, of target/tools or of PATH, if it runs.
fn installed(workspace: &Workspace) -> Option<Command> {
    [workspace.tools().join("bin").join(NAME), PathBuf::from(NAME)]
        .into_iter()
        .find_map(|binary| {
            let runs =
                process::ask(Command::new(&binary).arg("--version")).is_ok_and(|run| run.status.success());
            runs.then(|| {
                let mut command = Command::new(&binary);
                command.current_dir(workspace.root());
                command
            })
        })
}

fn install_it(workspace: &Workspace, step: &Step) -> Result<()> {
    step.now("installing cargo-deny");
    let mut cargo = workspace.cargo();
    cargo
        .args(["install", NAME, "--locked", "--root"])
        .arg(workspace.tools());
    run_cargo(cargo, step, "cargo install cargo-deny")?;
    Ok(())
}
