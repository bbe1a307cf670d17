//! Control for each platform: one static file, built by cargo-zigbuild, checked and packed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::artefacts::Artefacts;
use super::plan::Plan;
use crate::modules::run_cargo;
use crate::process;
use crate::setup::release_tools::{PLATFORMS, Platform, ReleaseTools};
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

/// A built program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) platform: Platform,
    pub(super) path: PathBuf,
}

/// Builds, checks and packs control for each platform that this machine has the parts for.
pub(super) fn make(
    workspace: &Workspace,
    terminal: &Terminal,
    tools: &ReleaseTools,
    artefacts: &Artefacts,
    plan: &mut Plan,
) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for platform in PLATFORMS {
        let is_there = tools.python.is_some() && tools.platforms.contains(&platform);
        plan.leave_out_if(
            !is_there,
            &format!("control for {}: no Zig or no musl target", platform.target),
        );
        let Some(python) = tools.python.as_ref().filter(|_| is_there) else {
            continue;
        };
        terminal.step(&format!("control, {}", platform.architecture), |step| {
            build(workspace, step, python, platform)
        })?;
        let program = Program {
            platform,
            path: workspace.target().join(platform.target).join("release/tokenward"),
        };
        terminal.step(&format!("its file, {}", platform.architecture), |step| {
            check_file(workspace, step, artefacts, &program)
        })?;
        terminal.step(&format!("its run, {}", platform.architecture), |step| {
            run(step, tools, plan, &program)
        })?;
        terminal.step(&format!("its archive, {}", platform.architecture), |step| {
            pack(workspace, step, artefacts, plan, &program)
        })?;
        programs.push(program);
    }
    Ok(programs)
}

fn build(workspace: &Workspace, step: &Step, python: &Path, platform: Platform) -> Result<Outcome> {
    let mut cargo = Command::new(python.join("bin/cargo-zigbuild"));
    let cache = workspace.target().join("release-scratch/zig");
    cargo
        .current_dir(workspace.root())
        .env("CARGO_ZIGBUILD_ZIG_PATH", python.join("ziglang/zig"))
        .env("CARGO_ZIGBUILD_CACHE_DIR", cache.join("wrappers"))
        .env("ZIG_GLOBAL_CACHE_DIR", cache)
        .env("CARGO_INCREMENTAL", "0")
        .args(["rustc", "--locked", "--release"])
        .args(["--package", "tokenward-control", "--bin", "tokenward"])
        .args(["--target", platform.target, "--config"])
        .arg(workspace.path_remapping(platform.target))
        // Position-independent: Zig does not know Rust's `-static-pie`, and makes one of `-pie` without shared libraries.
        .args(["--", "-C", "link-arg=-pie"]);
    let run = run_cargo(cargo, step, "cargo zigbuild")?;
    let word = if run.stderr.contains("Compiling ") {
        "built"
    } else {
        "there"
    };
    Ok(Outcome::new(word, platform.target))
}

/// One file that runs on every Linux of its processor, and that does not contain this machine's paths.
fn check_file(
    workspace: &Workspace,
    step: &Step,
    artefacts: &Artefacts,
    program: &Program,
) -> Result<Outcome> {
    let elf = artefacts.elf(step, &program.path)?;
    ensure!(
        elf.machine == program.platform.architecture,
        "the program is for {}",
        elf.machine
    );
    ensure!(!elf.interpreter, "the program needs a dynamic linker");
    ensure!(
        elf.position_independent,
        "the program is always at the same addresses"
    );
    ensure!(
        elf.libraries.is_empty(),
        "the program needs shared libraries: {:?}",
        elf.libraries
    );
    let bytes = names_no_path(workspace, &program.path)?;
    Ok(Outcome::new(
        "passed",
        format!("static, {:.1} MB, no path of this machine", bytes as f64 / 1e6),
    ))
}

/// The size of a file that contains no path of this machine.
///
/// # Errors
/// When it contains one.
pub(super) fn names_no_path(workspace: &Workspace, file: &Path) -> Result<usize> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    for path in workspace.private_paths() {
        ensure!(
            !bytes.windows(path.len()).any(|window| window == path.as_bytes()),
            "{} contains a path of this machine: {path}",
            workspace.shown(file)
        );
    }
    Ok(bytes.len())
}

/// `--version`, and `check` on a good and on a bad configuration: by this machine's processor, or by an emulator.
fn run(step: &Step, tools: &ReleaseTools, plan: &mut Plan, program: &Program) -> Result<Outcome> {
    let emulator = tools.emulator.as_ref().filter(|_| !program.platform.is_native());
    if emulator.is_none() && !program.platform.is_native() {
        let what = format!("a run of control for {}: no emulator", program.platform.target);
        plan.leave_out_if(true, &what);
        return Ok(Outcome::skipped(what));
    }
    let start = |arguments: &[&str]| {
        let mut command = match emulator {
            Some(emulator) => {
                let mut command = Command::new(emulator);
                command.arg(&program.path);
                command
            }
            None => Command::new(&program.path),
        };
        command.env_clear().args(arguments);
        process::capture(&mut command, step, std::time::Duration::from_secs(120))
    };
    let version = start(&["--version"])?.succeeded("tokenward --version")?.stdout;
    ensure!(
        version.trim() == format!("tokenward {}", plan.version),
        "the program is {}",
        version.trim()
    );
    let folder = plan.scratch.join("configuration");
    let good = write_configuration(&folder, "")?;
    start(&["check", "--config", &good])?.succeeded("tokenward check")?;
    let bad = write_configuration(&folder, "no_such_field: 1\n")?;
    let refused = start(&["check", "--config", &bad])?;
    ensure!(
        !refused.status.success()
            && format!("{}{}", refused.stdout, refused.stderr).contains("no_such_field"),
        "`tokenward check` accepted an unknown field"
    );
    let how = emulator.map_or("on this processor", |_| "on an emulated processor");
    Ok(Outcome::new("passed", format!("--version and check, {how}")))
}

/// The smallest configuration, with secrets that open nothing.
fn write_configuration(folder: &Path, more: &str) -> Result<String> {
    std::fs::create_dir_all(folder)?;
    let secrets = [
        ("filter", "filter-of-the-release-check"),
        ("aggregator", "aggregator-of-the-release-check"),
        ("client", "client-of-the-release-check"),
        ("key", "q83vEjRWeJASNFZ4kKvN7xI0VniQEjRWeJCrze8SNFY="),
    ];
    for (name, secret) in secrets {
        std::fs::write(folder.join(name), secret)?;
    }
    let shown = folder.display();
    let text = format!(
        "listen: \"127.0.0.1:0\"
credentials: {{filter: {{file: {shown}/filter}}, aggregator: {{file: {shown}/aggregator}}}}
store: {{embedded: {{path: {shown}/tokenward.redb}}}}
sealing: {{current: {{id: k1, key: {{file: {shown}/key}}}}}}
issuers: [{{issuer: \"https://dex.example.com\", client_id: aggregator, client_secret: {{file: {shown}/client}}}}]
servers: [{{name: kubernetes, auth: {{forwardToken: true}}}}]
{more}"
    );
    let path = folder.join("tokenward.yaml");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

/// The program, the licences and the change log in one folder.
fn pack(
    workspace: &Workspace,
    step: &Step,
    artefacts: &Artefacts,
    plan: &Plan,
    program: &Program,
) -> Result<Outcome> {
    let folder = format!("tokenward-{}-{}", plan.version, program.platform.target);
    let out = plan.out.join(format!("{folder}.tar.gz"));
    let (licence, changes) = (
        workspace.root().join("LICENSE"),
        workspace.root().join("CHANGELOG.md"),
    );
    let others = plan.out.join(plan.licences_name());
    artefacts.archive(
        step,
        &out,
        &[
            (format!("{folder}/tokenward"), &program.path, 0o755),
            (format!("{folder}/LICENSE"), &licence, 0o644),
            (format!("{folder}/THIRD-PARTY-LICENCES.txt"), &others, 0o644),
            (format!("{folder}/CHANGELOG.md"), &changes, 0o644),
        ],
    )?;
    Ok(Outcome::new("written", workspace.shown(&out)))
}
