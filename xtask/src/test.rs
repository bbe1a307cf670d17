//! `cargo xtask test`: set up, build, run the tests, count them.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::runner_output::TestCounts;
use crate::terminal::{Terminal, shown_duration};
use crate::workspace::Workspace;
use crate::{modules, process, setup};

/// Flags of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct TestFlags {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Only this suite (may be given several times); without it, all of them
    #[arg(long, value_enum)]
    suite: Vec<Suite>,
}

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// The pure parts: unit tests of every crate
    Unit,
    /// The filter module on the wasmtime host
    Wasm,
    /// The control service
    Service,
    /// The whole path on real Envoy
    EndToEnd,
}

impl Suite {
    fn test_binary(self) -> Option<&'static str> {
        match self {
            Self::Unit => None,
            Self::Wasm => Some("wasm"),
            Self::Service => Some("service"),
            Self::EndToEnd => Some("end_to_end"),
        }
    }
}

/// Runs the tests and answers with the runner's exit code.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &TestFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &setup::SetupFlags::default())?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::bare_module(workspace, terminal)?;
    // With the tests' own dependencies in the selection, nothing is built again when the runner starts.
    modules::native(workspace, terminal, "services and tests", &["--bins", "--tests"])?;
    modules::control_with_failpoints(workspace, terminal)?;
    let mut finished = Vec::new();
    terminal.heading("test");
    let start = Instant::now();
    for mut command in runner_commands(workspace, terminal, flags) {
        finished.push(process::echo(&mut command)?);
    }
    let counts = finished
        .iter()
        .filter_map(|run| TestCounts::read(&format!("{}\n{}", run.stdout, run.stderr)))
        .reduce(|sum, counts| TestCounts {
            passed: sum.passed + counts.passed,
            failed: sum.failed + counts.failed,
        });
    terminal.note(&format!("the tests took {}", shown_duration(start.elapsed())));
    if let Some(TestCounts { passed, failed }) = counts {
        if let (0, Some(filter)) = (passed + failed, &flags.filter) {
            bail!("no test has {filter:?} in its name");
        }
        println!("{passed} passed, {failed} failed");
    }
    let worst = finished.iter().find(|run| !run.status.success());
    Ok(worst.map_or(ExitCode::SUCCESS, |run| {
        run.status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from)
    }))
}

/// nextest where it is installed (and cargo for the doc tests, which it does not run), else cargo alone; and the tests of
/// control with traces.
fn runner_commands(workspace: &Workspace, terminal: &Terminal, flags: &TestFlags) -> Vec<Command> {
    let nextest =
        process::ask(workspace.cargo().args(["nextest", "--version"])).is_ok_and(|run| run.status.success());
    let base = || {
        let mut cargo = workspace.cargo();
        if terminal.is_coloured() {
            cargo.env("CARGO_TERM_COLOR", "always");
        }
        cargo
    };
    let mut commands = Vec::new();
    let mut runner = base();
    if nextest {
        runner.args(["nextest", "run", "--no-fail-fast", "--no-tests", "pass"]);
    } else {
        runner.args(["test", "--no-fail-fast"]);
    }
    runner.args(selection(&flags.suite)).args(&flags.filter);
    commands.push(runner);
    if nextest && (flags.suite.is_empty() || flags.suite.contains(&Suite::Unit)) {
        let mut doc_tests = base();
        doc_tests
            .args(["test", "--doc"])
            .args(modules::package_flags())
            .args(&flags.filter);
        commands.push(doc_tests);
    }
    if flags.suite.is_empty() && flags.filter.is_none() {
        // Control with traces is a build of its own: its features are in no other one.
        let mut traces = base();
        traces.args(["test", "--package", "tokenward-control", "--features", "otlp"]);
        traces.args(["--lib", "--", "trace"]);
        commands.push(traces);
    }
    commands
}

/// Cargo's target flags for the suites; always with every package, so that features stay the same.
fn selection(suites: &[Suite]) -> Vec<&'static str> {
    let mut words: Vec<_> = modules::package_flags().collect();
    for suite in suites {
        match suite.test_binary() {
            Some(binary) => words.extend(["--test", binary]),
            None => words.extend([
                "--lib",
                "--bins",
                "--test",
                "contracts",
                "--test",
                "core",
                "--test",
                "shell",
                "--test",
                "rules",
                "--test",
                "interleavings",
                "--test",
                "short_runs",
            ]),
        }
    }
    words
}
