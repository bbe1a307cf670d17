//! Prometheus and promtool, for the tests of the chart's alerts and dashboard: Debian's package, unpacked and not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Network, apt, fresh_folder, install_binary};
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

const PACKAGE: &str = "prometheus";
/// Name in target/tools and on PATH, and the environment variable that names another one.
const PROGRAMS: [(&str, &str); 2] = [("promtool", "PROMTOOL_BIN"), ("prometheus", "PROMETHEUS_BIN")];
const LEFT_OUT: &str = "the tests of alerts and dashboard are left out";

/// Leaves both programs in target/tools, unless they are on PATH; without a mirror of Debian they are left out.
///
/// # Errors
/// When target/tools cannot be written.
pub(super) fn provide(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    if let Some(there) = found(workspace) {
        return Ok(Outcome::new("there", there));
    }
    if network == Network::Forbidden {
        return Ok(Outcome::skipped(format!(
            "not there, and --offline forbids to fetch it; {LEFT_OUT}"
        )));
    }
    if let Err(error) = fetch(workspace, step) {
        let why: String = format!("{error:#}")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let why: String = why.chars().take(160).collect();
        return Ok(Outcome::skipped(format!(
            "no package {PACKAGE} ({why}); {LEFT_OUT}"
        )));
    }
    Ok(match found(workspace) {
        Some(there) => Outcome::new("fetched", format!("{there}, from the distribution's package")),
        None => Outcome::skipped(format!("the package's programs do not run here; {LEFT_OUT}")),
    })
}

/// Whether both programs are there.
pub(crate) fn is_there(workspace: &Workspace) -> bool {
    found(workspace).is_some()
}

fn fetch(workspace: &Workspace, step: &Step) -> Result<()> {
    let folder = fresh_folder(workspace, PACKAGE)?;
    let apt = apt::PrivateApt::new(workspace)?;
    apt.unpack_newest(step, PACKAGE, &apt::own_suites()?, &folder)?;
    for (name, _) in PROGRAMS {
        install_binary(&folder.join("usr/bin").join(name), &workspace.tools().join(name))?;
    }
    Ok(std::fs::remove_dir_all(folder)?)
}

/// The version and the place of the programs, if both run.
fn found(workspace: &Workspace) -> Option<String> {
    let mut shown = None;
    for (name, variable) in PROGRAMS {
        let place = place(workspace, name, variable)?;
        let version = version(&place)?;
        shown.get_or_insert_with(|| format!("{version}, {}", workspace.shown(&place)));
    }
    shown
}

fn place(workspace: &Workspace, name: &str, variable: &str) -> Option<PathBuf> {
    if let Some(given) = std::env::var_os(variable).filter(|given| !given.is_empty()) {
        return Some(PathBuf::from(given));
    }
    let own = workspace.tools().join(name);
    if own.is_file() {
        return Some(own);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// `promtool, version 2.42.0+ds (branch: …)` → `2.42.0+ds`.
fn version(program: &Path) -> Option<String> {
    let run = process::ask(Command::new(program).arg("--version")).ok()?;
    let printed = format!("{}{}", run.stdout, run.stderr);
    let (_, rest) = printed.split_once(", version ")?;
    Some(rest.split_whitespace().next()?.to_owned())
}
