//! `cargo xtask demo`, `replay` and `bench`: builds what the program runs, then becomes the program in this terminal.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use tokenward_lab_cli::{BenchFlags, Benchmark, DemoFlags, ReplayFlags, SimulateFlags};

use crate::modules::{self, Profile, Program};
use crate::setup::{self, SetupFlags};
use crate::terminal::Terminal;
use crate::workspace::Workspace;

const CONTROL: Program = Program {
    package: "tokenward-control",
    binary: "tokenward",
};
const DEMO: Program = Program {
    package: "tokenward-demo",
    binary: "tokenward-demo",
};
const REPLAY: Program = Program {
    package: "tokenward-replay",
    binary: "tokenward-replay",
};
const BENCH: Program = Program {
    package: "tokenward-bench",
    binary: "tokenward-bench",
};

const SIMULATION: Program = Program {
    package: "tokenward-simulation",
    binary: "tokenward-simulation",
};

/// Sets up and builds the filter module, control and the demo.
pub(crate) fn build(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::programs(workspace, terminal, Profile::Dev, &[CONTROL, DEMO])
}

/// Runs the demo.
pub(crate) fn demo(workspace: &Workspace, terminal: &Terminal, flags: &DemoFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &SetupFlags::default().with_dex(flags.dex))?;
    build(workspace, terminal)?;
    become_program(workspace, Profile::Dev, DEMO)
}

/// Runs the replay.
pub(crate) fn replay(workspace: &Workspace, terminal: &Terminal, flags: &ReplayFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &SetupFlags::default().with_dex(flags.dex))?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::programs(workspace, terminal, Profile::Dev, &[CONTROL, REPLAY])?;
    become_program(workspace, Profile::Dev, REPLAY)
}

/// Runs a benchmark, with everything that it measures built in release.
pub(crate) fn bench(workspace: &Workspace, terminal: &Terminal, flags: &BenchFlags) -> Result<ExitCode> {
    let parts = SetupFlags::default();
    let parts = match &flags.benchmark {
        Benchmark::DataPath(flags) => parts.with_dex(false).for_data_path(&flags.only),
        Benchmark::Storm(_) => parts.for_storm(),
        Benchmark::Memory(_) | Benchmark::Control(_) => parts.with_dex(false),
    };
    setup::run(workspace, terminal, &parts)?;
    terminal.heading("build");
    let programs: &[Program] = match flags.benchmark {
        Benchmark::DataPath(_) | Benchmark::Memory(_) => {
            modules::filter_module(workspace, terminal)?;
            modules::baseline_module(workspace, terminal)?;
            modules::bare_module(workspace, terminal)?;
            &[BENCH]
        }
        Benchmark::Control(_) | Benchmark::Storm(_) => &[CONTROL, BENCH],
    };
    modules::programs(workspace, terminal, Profile::Release, programs)?;
    become_program(workspace, Profile::Release, BENCH)
}

/// Runs the simulation, built in release.
pub(crate) fn simulate(
    workspace: &Workspace,
    terminal: &Terminal,
    _flags: &SimulateFlags,
) -> Result<ExitCode> {
    terminal.heading("build");
    modules::programs(workspace, terminal, Profile::Release, &[SIMULATION])?;
    become_program(workspace, Profile::Release, SIMULATION)
}

/// Replaces this process by `program`, so that Ctrl-C and the exit code are the program's own.
///
/// The program gets the words after the verb: clap has accepted them, and the program has the same definition of its flags.
fn become_program(workspace: &Workspace, profile: Profile, program: Program) -> Result<ExitCode> {
    let binary: PathBuf = workspace.target().join(profile.folder()).join(program.binary);
    println!();
    hand_over(Command::new(&binary).args(std::env::args_os().skip(2)))
        .with_context(|| format!("cannot start {}", workspace.shown(&binary)))
}

#[cfg(unix)]
fn hand_over(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn hand_over(command: &mut Command) -> Result<ExitCode> {
    Ok(if command.status()?.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
