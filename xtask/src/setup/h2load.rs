//! h2load of nghttp2, the second load generator of `cargo xtask bench data-path`: Debian's package, unpacked and not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Network, apt, fresh_folder, install_binary};
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

const NAME: &str = "h2load";
const VARIABLE: &str = "H2LOAD_BIN";
const PACKAGE: &str = "nghttp2-client";
/// What it is linked to and a machine may lack. Releases of Debian differ in them: what a release does not have is left
/// out, and whether it runs decides.
const LIBRARIES: [&str; 10] = [
    "libnghttp2-14",
    "libev4",
    "libev4t64",
    "libjemalloc2",
    "libssl3",
    "libssl3t64",
    "libnghttp3-9",
    "libngtcp2-16",
    "libngtcp2-crypto-gnutls8",
    "libcares2",
];
const LEFT_OUT: &str = "the benchmark's second load generator is left out";

/// As Valkey's: the libraries lie beside the program, and a script in its place starts it with them.
const START: &str = r#"#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)/nghttp2/usr
LD_LIBRARY_PATH="$here/lib/ARCH-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$here/bin/h2load" "$@"
"#;

/// Leaves it in target/tools, unless it is on PATH; without a mirror of Debian it is left out.
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
        None => {
            // What does not run must not stay where the benchmark looks.
            std::fs::remove_file(workspace.tools().join(NAME))?;
            Outcome::skipped(format!("the package's program does not run here; {LEFT_OUT}"))
        }
    })
}

fn fetch(workspace: &Workspace, step: &Step) -> Result<()> {
    let folder = fresh_folder(workspace, PACKAGE)?;
    let apt = apt::PrivateApt::new(workspace)?;
    let suites = apt::own_suites()?;
    apt.unpack_newest(step, PACKAGE, &suites, &folder)?;
    if version(&folder.join("usr/bin").join(NAME)).is_none() {
        for library in LIBRARIES {
            drop(apt.unpack_newest(step, library, &suites, &folder));
        }
    }
    let installed = workspace.tools().join("nghttp2");
    if installed.exists() {
        std::fs::remove_dir_all(&installed)?;
    }
    std::fs::rename(&folder, &installed).context("cannot move nghttp2 into place")?;
    let script = installed.join("start");
    std::fs::write(&script, START.replace("ARCH", std::env::consts::ARCH))?;
    install_binary(&script, &workspace.tools().join(NAME))
}

/// The version and the place of the program, if it runs.
fn found(workspace: &Workspace) -> Option<String> {
    let place = place(workspace)?;
    Some(format!("{}, {}", version(&place)?, workspace.shown(&place)))
}

fn version(program: &Path) -> Option<String> {
    let run = process::ask(Command::new(program).arg("--version")).ok()?;
    run.status.success().then(|| run.stdout.trim().to_owned())
}

fn place(workspace: &Workspace) -> Option<PathBuf> {
    if let Some(given) = std::env::var_os(VARIABLE).filter(|given| !given.is_empty()) {
        return Some(PathBuf::from(given));
    }
    let own = workspace.tools().join(NAME);
    if own.is_file() {
        return Some(own);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(NAME))
        .find(|program| program.is_file())
}
