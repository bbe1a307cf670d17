//! `cargo xtask fuzz`: libFuzzer on every parser that bytes from outside reach, and on the pairs' shared memory.

mod libfuzzer;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::modules::run_cargo;
use crate::process;
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

use libfuzzer::Run;

/// Flags of `cargo xtask fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzFlags {
    /// Only this target, a file of fuzz/targets; without it, all of them, one after the other
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// Longer than the longest token that is looked at, so that the refusal of longer ones is fuzzed too.
const LONGEST_INPUT_BYTES: usize = 70_000;
/// What a run may take beyond its time: reading the corpus at the start, one slow input at the end.
const GRACE: Duration = Duration::from_secs(300);

/// A way to build programs that libFuzzer can steer.
struct Build {
    name: &'static str,
    sanitizer: &'static str,
    nightly: bool,
}

/// From the most to the least detail in a crash report. The active toolchain is stable; without a sanitizer memory
/// errors go unseen, broken promises, panics and overflows do not.
const BUILDS: [Build; 3] = [
    Build {
        name: "nightly, address sanitizer",
        sanitizer: "address",
        nightly: true,
    },
    Build {
        name: "no nightly: stable with RUSTC_BOOTSTRAP=1, address sanitizer",
        sanitizer: "address",
        nightly: false,
    },
    Build {
        name: "no sanitizer can be built here: stable with RUSTC_BOOTSTRAP=1, none",
        sanitizer: "none",
        nightly: false,
    },
];

/// Builds the programs and runs them; fails when one found an input that breaks a promise.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &FuzzFlags) -> Result<ExitCode> {
    let targets = targets(workspace, flags.target.as_deref())?;
    terminal.heading("fuzz");
    if let Err(error) = terminal.step("cargo-fuzz", |step| cargo_fuzz(workspace, step)) {
        terminal.note(&format!("cargo-fuzz cannot be had: {error:#}"));
        return without_libfuzzer(workspace, terminal);
    }
    let mut programs = PathBuf::new();
    terminal.step("programs", |step| {
        let name;
        (programs, name) = build(workspace, step, flags.target.as_deref())?;
        Ok(Outcome::new("built", name))
    })?;
    let mut broken = Vec::new();
    for target in &targets {
        let ran = terminal.step(target, |step| {
            fuzz(workspace, step, &programs.join(target), target, flags.seconds)
        });
        if let Err(error) = ran {
            terminal.failure(&format!("{error:#}"));
            broken.push(target.as_str());
        }
    }
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!(
        "the inputs that broke {} are in fuzz/artifacts",
        broken.join(", ")
    )
}

/// The names of the programs, sorted.
fn targets(workspace: &Workspace, only: Option<&str>) -> Result<Vec<String>> {
    let folder = workspace.root().join("fuzz/targets");
    let files = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<String> = files
        .filter_map(|file| {
            let path = file.ok()?.path();
            Some(path.file_stem()?.to_string_lossy().into_owned())
        })
        .collect();
    names.sort();
    if let Some(only) = only {
        ensure!(
            names.iter().any(|name| name == only),
            "there is no target {only:?}; there are {}",
            names.join(", ")
        );
        names.retain(|name| name == only);
    }
    Ok(names)
}

fn cargo_fuzz(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    let version = || process::ask(cargo(workspace).args(["fuzz", "--version"]))?.succeeded("cargo fuzz");
    if let Ok(version) = version() {
        return Ok(Outcome::new("there", version.stdout.trim()));
    }
    step.now("installing cargo-fuzz");
    let mut install = workspace.cargo();
    install
        .args(["install", "cargo-fuzz", "--locked", "--root"])
        .arg(workspace.tools());
    run_cargo(install, step, "cargo install cargo-fuzz")?;
    Ok(Outcome::new("fetched", version()?.stdout.trim()))
}

/// Cargo, with what is installed in target/tools among its subcommands.
fn cargo(workspace: &Workspace) -> Command {
    let own = workspace.tools().join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(own).chain(std::env::split_paths(&path));
    let mut cargo = workspace.cargo();
    if let Ok(path) = std::env::join_paths(folders) {
        cargo.env("PATH", path);
    }
    cargo
}

/// Builds in the first way that works here; the folder of the programs, and which way that was.
fn build(workspace: &Workspace, step: &Step, only: Option<&str>) -> Result<(PathBuf, &'static str)> {
    let version = process::ask(workspace.rustc().arg("-vV"))?.succeeded("rustc -vV")?;
    let host = version
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?;
    let folder = workspace.target().join("fuzz");
    let nightly = process::ask(Command::new("rustup").args(["run", "nightly", "rustc", "--version"]))
        .is_ok_and(|run| run.status.success());
    let mut why = None;
    for way in BUILDS.iter().filter(|way| nightly || !way.nightly) {
        step.now(way.name);
        let mut cargo = cargo(workspace);
        cargo.current_dir(workspace.root().join("fuzz"));
        if way.nightly {
            cargo.env("RUSTUP_TOOLCHAIN", "nightly");
        } else {
            cargo.env("RUSTC_BOOTSTRAP", "1");
        }
        cargo.args(["fuzz", "build", "--sanitizer", way.sanitizer]);
        cargo.arg("--target-dir").arg(&folder).args(only);
        match run_cargo(cargo, step, "cargo fuzz build") {
            Ok(_) => return Ok((folder.join(host).join("release"), way.name)),
            Err(error) => why = Some(error),
        }
    }
    Err(why.context("there is no way to build")?)
}

fn fuzz(workspace: &Workspace, step: &Step, program: &Path, target: &str, seconds: u64) -> Result<Outcome> {
    let folder = |name: &str| workspace.root().join("fuzz").join(name);
    let (corpus, artifacts) = (folder("corpus").join(target), folder("artifacts").join(target));
    for made in [&corpus, &artifacts] {
        std::fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    let mut command = Command::new(program);
    command.current_dir(workspace.root());
    // New inputs go to the first folder; the seeds are only read.
    command.arg(&corpus).arg(folder("seeds").join(target));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={LONGEST_INPUT_BYTES}"));
    command.arg(format!(
        "-dict={}",
        folder("dictionaries").join(format!("{target}.dict")).display()
    ));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg("-print_final_stats=1");
    let ended = process::capture(&mut command, step, Duration::from_secs(seconds) + GRACE)?;
    let run = Run::read(&ended.stderr);
    if !ended.status.success() {
        let input = run.artifact.map_or_else(
            || "no input was stored".to_owned(),
            |path| {
                let path = workspace.shown(Path::new(&path));
                format!("again: {} {path}", workspace.shown(program))
            },
        );
        let why = run.panic.unwrap_or_else(|| ended.status.to_string());
        bail!("{target} broke a promise: {why}\n  {input}");
    }
    Ok(Outcome::new("passed", run.to_string()))
}

/// The same oracles over the same mutations of the seeds as in the tests: no feedback, no sanitizer.
fn without_libfuzzer(workspace: &Workspace, terminal: &Terminal) -> Result<ExitCode> {
    terminal.note("without it: the tests' short run, 20,000 blind mutations of the seeds per target");
    terminal.step("short runs", |step| {
        let mut cargo = workspace.cargo();
        cargo.args([
            "test",
            "--package",
            "tokenward-fuzz-oracles",
            "--test",
            "short_runs",
        ]);
        run_cargo(cargo, step, "the short runs")?;
        Ok(Outcome::new("passed", "no coverage feedback, no sanitizer"))
    })?;
    Ok(ExitCode::SUCCESS)
}
