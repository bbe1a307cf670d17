//! `cargo xtask soak`: the long tests, minutes of load on real Envoy.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::runner_output::TestCounts;
use crate::terminal::{Terminal, shown_duration};
use crate::workspace::Workspace;
use crate::{modules, process, setup};

/// Flags of `cargo xtask soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakFlags {
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// A part: its name, and the tests whose name contains it.
type Part = &'static str;

/// What runs side by side: killing leaves the processors idle most of the time, and while Valkey is away there is
/// nothing to do but to send two requests a second. The hammers have the machine to themselves.
///
/// Each test has a deadline of its own. The longest lane of each stage (800, 230, 100, 160 and 120 s) adds up to less than 24
/// minutes.
const STAGES: [&[Part]; 5] = [
    &["kills::", "valkey_outage::"],
    &["one_pair::"],
    &["ended_logins::"],
    &["pairs::"],
    &["hostile_streams::"],
];

/// Runs the long tests, with their progress shown, and prints how long each part took.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &SoakFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &setup::SetupFlags::default().with_dex(false))?;
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    modules::native(workspace, terminal, "services and tests", &["--bins", "--tests"])?;
    modules::control_with_failpoints(workspace, terminal)?;
    terminal.heading("soak");
    let start = Instant::now();
    let ended = match &flags.filter {
        Some(filter) => vec![part(workspace, filter)?],
        None => every_stage(workspace)?,
    };
    for part in &ended {
        terminal.note(&format!("{}: {}", part.name, shown_duration(part.took)));
    }
    let (passed, failed) = ended.iter().fold((0, 0), |(passed, failed), part| {
        (passed + part.counts.passed, failed + part.counts.failed)
    });
    terminal.note(&format!(
        "the long tests took {}",
        shown_duration(start.elapsed())
    ));
    if passed + failed == 0 {
        bail!("no long test has such a name");
    }
    println!("{passed} passed, {failed} failed");
    Ok(match ended.iter().all(|part| part.well) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// A part that has run.
struct Ended {
    name: String,
    took: Duration,
    counts: TestCounts,
    well: bool,
}

fn every_stage(workspace: &Workspace) -> Result<Vec<Ended>> {
    let mut ended = Vec::new();
    for stage in STAGES {
        let parts = std::thread::scope(|scope| {
            let lanes: Vec<_> = stage
                .iter()
                .map(|name| scope.spawn(move || part(workspace, name)))
                .collect();
            lanes
                .into_iter()
                .map(|lane| match lane.join() {
                    Ok(ended) => ended,
                    Err(_) => bail!("a part of the soak has panicked"),
                })
                .collect::<Result<Vec<_>>>()
        })?;
        ended.extend(parts);
    }
    Ok(ended)
}

/// The tests whose name contains `filter`, one after the other.
fn part(workspace: &Workspace, filter: &str) -> Result<Ended> {
    let start = Instant::now();
    let mut cargo = workspace.cargo();
    // nextest would withhold the progress until a test has ended.
    cargo
        .arg("test")
        .args(modules::package_flags())
        .args(["--test", "soak", "--"]);
    cargo.args(["--ignored", "--nocapture", "--test-threads", "1", filter]);
    let run = process::echo(&mut cargo)?;
    let counts = TestCounts::read(&format!("{}\n{}", run.stdout, run.stderr));
    Ok(Ended {
        name: filter.trim_end_matches("::").to_owned(),
        took: start.elapsed(),
        well: run.status.success() && counts.is_some(),
        counts: counts.unwrap_or(TestCounts { passed: 0, failed: 0 }),
    })
}
