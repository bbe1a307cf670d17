//! What `cargo xtask release` needs: programs of xtask/release-tools, Helm, a C compiler for both platforms, an emulator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::go::{Stamp, shortly};
use super::go_program::{GoProgram, no_flags};
use super::{Network, apt, envoy_gateway, fresh_folder, install_binary, pip};
use crate::modules::run_cargo;
use crate::process;
use crate::terminal::{Outcome, Step, Terminal};
use crate::version::Version;
use crate::workspace::Workspace;

const FOLDER: &str = "xtask/release-tools";
const LOCK: &str = "xtask/release-tools/requirements.txt";
const OLDEST_GO: Version = Version::new(1, 25, 0);
const SBOM_PACKAGE: &str = "cargo-cyclonedx@0.5.9";
const LONGEST_RUSTUP: Duration = Duration::from_secs(300);

const ARTEFACTS: GoProgram = GoProgram {
    file: "release-artefacts",
    variable: "RELEASE_ARTEFACTS_BIN",
    folder: FOLDER,
    module: "github.com/google/go-containerregistry",
    package: "./artefacts",
    linker_flags: no_flags,
    oldest_go: OLDEST_GO,
    proves: |binary| ensure_prints(binary, "--help", "usage: release-artefacts"),
    left_out: "nothing of a release can be packed without it",
};

const ACTIONLINT: GoProgram = GoProgram {
    file: "actionlint",
    variable: "ACTIONLINT_BIN",
    folder: FOLDER,
    module: "github.com/rhysd/actionlint",
    package: "github.com/rhysd/actionlint/cmd/actionlint",
    linker_flags: no_flags,
    oldest_go: OLDEST_GO,
    proves: |binary| ensure_prints(binary, "--version", "1.7"),
    left_out: "the workflows are not checked",
};

/// A platform that control is released for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Platform {
    /// Rust's name.
    pub(crate) target: &'static str,
    /// The container platforms' name of the processor.
    pub(crate) architecture: &'static str,
    /// Rust's name of the processor.
    pub(crate) processor: &'static str,
}

/// Both are Linux with musl, linked into one file.
pub(crate) const PLATFORMS: [Platform; 2] = [
    Platform {
        target: "x86_64-unknown-linux-musl",
        architecture: "amd64",
        processor: "x86_64",
    },
    Platform {
        target: "aarch64-unknown-linux-musl",
        architecture: "arm64",
        processor: "aarch64",
    },
];

impl Platform {
    /// Whether this machine runs its programs without an emulator.
    pub(crate) fn is_native(self) -> bool {
        std::env::consts::ARCH == self.processor && std::env::consts::OS == "linux"
    }
}

/// Where the tools are; what is `None` could not be had, and its step said why.
#[derive(Debug)]
pub(crate) struct ReleaseTools {
    /// The program of xtask/release-tools.
    pub(crate) artefacts: PathBuf,
    /// actionlint.
    pub(crate) actionlint: Option<PathBuf>,
    /// Helm.
    pub(crate) helm: Option<PathBuf>,
    /// The folder with Zig, cargo-zigbuild and certifi.
    pub(crate) python: Option<PathBuf>,
    /// The platforms whose standard library is there.
    pub(crate) platforms: Vec<Platform>,
    /// qemu's emulator of the platform that this machine is not.
    pub(crate) emulator: Option<PathBuf>,
    /// cargo-cyclonedx.
    pub(crate) sbom: Option<PathBuf>,
}

/// Gets what can be had.
///
/// # Errors
/// When the program that packs everything cannot be had, or a file of the repository cannot be read.
pub(crate) fn provide(workspace: &Workspace, terminal: &Terminal) -> Result<ReleaseTools> {
    let tools = workspace.tools();
    std::fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
    terminal.step("release programs", |step| {
        ARTEFACTS.provide(workspace, step, Network::Allowed)
    })?;
    terminal.step("actionlint", |step| {
        ACTIONLINT.provide(workspace, step, Network::Allowed)
    })?;
    terminal.step("Helm", |step| {
        envoy_gateway::provide_helm(workspace, step, Network::Allowed)
    })?;
    terminal.step("Zig, certificates", |step| python_parts(workspace, step))?;
    let mut platforms = Vec::new();
    terminal.step("musl targets", |step| {
        musl_targets(workspace, step, &mut platforms)
    })?;
    terminal.step("emulator", |step| emulator(workspace, step))?;
    terminal.step("cargo-cyclonedx", |step| cyclonedx(workspace, step))?;
    let there = |path: PathBuf| path.exists().then_some(path);
    let place = |program: &GoProgram| given(program).unwrap_or_else(|| tools.join(program.file));
    Ok(ReleaseTools {
        artefacts: there(place(&ARTEFACTS)).context("release-artefacts needs Go ≥ 1.25 on PATH")?,
        actionlint: there(place(&ACTIONLINT)),
        helm: there(tools.join("helm")),
        python: there(python_folder(workspace)),
        platforms,
        emulator: found_emulator(workspace),
        sbom: there(tools.join("bin/cargo-cyclonedx")),
    })
}

/// Gets what an upload needs: the program of xtask/release-tools, and Helm.
///
/// # Errors
/// When one of them cannot be had.
pub(crate) fn provide_for_upload(workspace: &Workspace, terminal: &Terminal) -> Result<(PathBuf, PathBuf)> {
    terminal.step("release programs", |step| {
        ARTEFACTS.provide(workspace, step, Network::Allowed)
    })?;
    terminal.step("Helm", |step| {
        envoy_gateway::provide_helm(workspace, step, Network::Allowed)
    })?;
    let place = |program: &GoProgram| given(program).unwrap_or_else(|| workspace.tools().join(program.file));
    let (artefacts, helm) = (place(&ARTEFACTS), workspace.tools().join("helm"));
    for binary in [&artefacts, &helm] {
        ensure!(
            binary.is_file(),
            "{} is needed, and Go to build it",
            binary.display()
        );
    }
    Ok((artefacts, helm))
}

/// The binary that the program's variable names.
fn given(program: &GoProgram) -> Option<PathBuf> {
    std::env::var_os(program.variable)
        .filter(|given| !given.is_empty())
        .map(PathBuf::from)
}

fn ensure_prints(binary: &Path, argument: &str, wanted: &str) -> Result<()> {
    ensure!(binary.is_file(), "{} is not a file", binary.display());
    let run = process::ask(Command::new(binary).arg(argument))?.succeeded(argument)?;
    ensure!(
        run.stdout.contains(wanted),
        "`{} {argument}` does not print {wanted:?}",
        binary.display()
    );
    Ok(())
}

fn python_folder(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("release-python")
}

fn python_parts(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    let folder = python_folder(workspace);
    let lock = workspace.root().join(LOCK);
    let pins = std::fs::read_to_string(&lock).with_context(|| format!("cannot read {LOCK}"))?;
    let stamp = Stamp::beside(&folder);
    if stamp.matches(&pins) && folder.is_dir() {
        return Ok(Outcome::new("there", workspace.shown(&folder)));
    }
    step.now("pip install");
    let scratch = fresh_folder(workspace, "release-python")?;
    if let Err(error) = pip::install_locked(workspace, step, &lock, &scratch) {
        return Ok(Outcome::skipped(format!("cannot be had ({})", shortly(&error))));
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::rename(&scratch, &folder)
        .with_context(|| format!("cannot move {} into place", scratch.display()))?;
    stamp.write(&pins)?;
    Ok(Outcome::new(
        "fetched",
        format!("{} by pip", workspace.shown(&folder)),
    ))
}

fn musl_targets(workspace: &Workspace, step: &Step, platforms: &mut Vec<Platform>) -> Result<Outcome> {
    let mut missing = Vec::new();
    for platform in PLATFORMS {
        if !has_std(workspace, platform)? {
            step.now(format!("rustup target add {}", platform.target));
            let mut rustup = Command::new("rustup");
            rustup
                .current_dir(workspace.root())
                .args(["target", "add", platform.target]);
            // Without rustup the look at the sysroot below decides.
            drop(process::capture(&mut rustup, step, LONGEST_RUSTUP));
        }
        if has_std(workspace, platform)? {
            platforms.push(platform);
        } else {
            missing.push(platform.target);
        }
    }
    let names: Vec<_> = platforms.iter().map(|platform| platform.target).collect();
    if missing.is_empty() {
        return Ok(Outcome::new("there", names.join(", ")));
    }
    Ok(Outcome::skipped(format!(
        "rustup could not add {}; its programs are left out",
        missing.join(", ")
    )))
}

fn has_std(workspace: &Workspace, platform: Platform) -> Result<bool> {
    let mut rustc = workspace.rustc();
    rustc.args(["--print", "target-libdir", "--target", platform.target]);
    let folder = process::ask(&mut rustc)?
        .succeeded("rustc --print target-libdir")?
        .stdout;
    Ok(std::fs::read_dir(folder.trim()).is_ok_and(|mut entries| {
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
    }))
}

fn emulated() -> Option<Platform> {
    PLATFORMS.into_iter().find(|platform| !platform.is_native())
}

fn emulator_place(workspace: &Workspace) -> PathBuf {
    let processor = emulated().map_or("none", |platform| platform.processor);
    workspace.tools().join(format!("qemu-{processor}-static"))
}

/// The emulator of target/tools, else the machine's own.
fn found_emulator(workspace: &Workspace) -> Option<PathBuf> {
    let place = emulator_place(workspace);
    let name = place.file_name()?.to_str()?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).flat_map(|folder| {
        let names = [name.as_str(), name.trim_end_matches("-static")];
        names.map(|name| folder.join(name))
    });
    std::iter::once(place.clone()).chain(installed).find(|binary| {
        binary.is_file()
            && process::ask(Command::new(binary).arg("--version")).is_ok_and(|run| run.status.success())
    })
}

/// qemu as it is installed, else the distribution's, unpacked beside the other parts.
fn emulator(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    if let Some(there) = found_emulator(workspace) {
        return Ok(Outcome::new("there", workspace.shown(&there)));
    }
    let place = emulator_place(workspace);
    if let Err(error) = unpack_emulator(workspace, step, &place) {
        return Ok(Outcome::skipped(format!(
            "cannot be had ({}); the other platform's program is not run",
            shortly(&error)
        )));
    }
    ensure!(
        found_emulator(workspace).is_some(),
        "{} does not run",
        workspace.shown(&place)
    );
    Ok(Outcome::new(
        "fetched",
        format!("{}, of the distribution's qemu", workspace.shown(&place)),
    ))
}

/// Debian 12 has static emulators in a package of their own, later versions have no others.
fn unpack_emulator(workspace: &Workspace, step: &Step, place: &Path) -> Result<()> {
    let folder = fresh_folder(workspace, "qemu")?;
    let apt = apt::PrivateApt::new(workspace)?;
    // Without backports, where the package of the name can be an empty one that names the other.
    let suites: Vec<String> = apt::own_suites()?.into_iter().skip(1).collect();
    let name = place
        .file_name()
        .and_then(|name| name.to_str())
        .context("the emulator has no name")?;
    for (package, file) in [
        ("qemu-user-static", name),
        ("qemu-user", name.trim_end_matches("-static")),
    ] {
        apt.unpack_newest(step, package, &suites, &folder)?;
        let unpacked = folder.join("usr/bin").join(file);
        if unpacked.is_file() {
            install_binary(&unpacked, place)?;
            return Ok(std::fs::remove_dir_all(folder)?);
        }
    }
    anyhow::bail!("neither package has {name}")
}

fn cyclonedx(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    let binary = workspace.tools().join("bin/cargo-cyclonedx");
    let stamp = Stamp::beside(&binary);
    if binary.is_file() && stamp.matches(SBOM_PACKAGE) {
        return Ok(Outcome::new("there", workspace.shown(&binary)));
    }
    step.now(format!("installing {SBOM_PACKAGE}"));
    let mut cargo = workspace.cargo();
    cargo
        .args(["install", SBOM_PACKAGE, "--locked", "--force", "--root"])
        .arg(workspace.tools());
    if let Err(error) = run_cargo(cargo, step, "cargo install cargo-cyclonedx") {
        return Ok(Outcome::skipped(format!(
            "cannot be had ({}); the bills of materials are left out",
            shortly(&error)
        )));
    }
    stamp.write(SBOM_PACKAGE)?;
    Ok(Outcome::new(
        "built",
        format!("{SBOM_PACKAGE}, {}", workspace.shown(&binary)),
    ))
}
