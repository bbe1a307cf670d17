//! A real Kubernetes API server and its etcd, for `cargo xtask cluster`: the server built from the Go module in
//! tests/kube-apiserver, etcd from the distribution's package, unpacked and not installed.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::go_program::GoProgram;
use super::{Program, apt, fresh_folder, install_binary};
use crate::process;
use crate::terminal::Step;
use crate::version::Version;
use crate::workspace::Workspace;

/// The package of Kubernetes' own version.
const VERSION: &str = "k8s.io/component-base/version";

/// The API server, as tests/kube-apiserver requires it.
pub(super) const KUBE_APISERVER: GoProgram = GoProgram {
    file: "kube-apiserver",
    variable: "KUBE_APISERVER_BIN",
    folder: "tests/kube-apiserver",
    module: "k8s.io/kubernetes",
    package: "./apiserver",
    linker_flags: states_version,
    oldest_go: Version::new(1, 26, 0),
    proves: ensure_is_kube_apiserver,
    left_out: "`cargo xtask cluster` cannot run",
};

/// The API server's store.
pub(super) const ETCD: Program = Program {
    file: "etcd",
    variable: "ETCD_BIN",
    oldest: Version::new(3, 4, 0),
    version: Version::of_etcd,
    ways: &[("the distribution's package etcd-server", from_distribution)],
};

/// Without them it calls itself v0.0.0, which Helm refuses by a chart's `kubeVersion`.
fn states_version(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    format!("-X {VERSION}.gitVersion={version} -X {VERSION}.gitMajor={major} -X {VERSION}.gitMinor={minor}")
}

/// # Errors
/// When it does not run here, or is another program.
fn ensure_is_kube_apiserver(binary: &Path) -> Result<()> {
    ensure!(binary.is_file(), "{} is not a file", binary.display());
    let run = process::ask(Command::new(binary).arg("--version"))?.succeeded("kube-apiserver --version")?;
    ensure!(
        run.stdout.starts_with("Kubernetes v1."),
        "`{} --version` does not look like a released Kubernetes",
        binary.display()
    );
    Ok(())
}

fn from_distribution(workspace: &Workspace, step: &Step, place: &Path) -> Result<()> {
    let folder = fresh_folder(workspace, "etcd")?;
    let apt = apt::PrivateApt::new(workspace)?;
    apt.unpack_newest(step, "etcd-server", &apt::own_suites()?, &folder)?;
    install_binary(&folder.join("usr/bin/etcd"), place)?;
    Ok(std::fs::remove_dir_all(folder)?)
}
