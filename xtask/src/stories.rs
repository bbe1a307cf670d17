//! Runs suites of long stories that print a table of their counts and write them into a file.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::runner_output::TestCounts;
use crate::workspace::Workspace;
use crate::{modules, process};

/// The variable by which a suite learns where to write its counts, and the file.
pub(crate) type Counts<'a> = (&'a str, &'a Path);

/// Flags of a verb that plays stories which count what they saw.
#[derive(Debug, Args)]
pub(crate) struct CountedStoriesFlags {
    /// Play every story and fail if a promise breaks
    #[arg(long, required = true)]
    check: bool,
    /// Write all counts into this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only stories whose name contains this
    filter: Option<String>,
}

impl CountedStoriesFlags {
    /// Plays the stories of `suites` that the flags select. Each suite reads from `variable` where to write its counts.
    pub(crate) fn play(&self, workspace: &Workspace, suites: &[&str], variable: &str) -> Result<ExitCode> {
        let counts = self.json.as_deref().map(|file| (variable, file));
        play(workspace, suites, self.filter.as_deref(), counts)
    }
}

/// Plays the stories of `suites` whose name contains `filter`, one after the other: each plays its programs side by side.
pub(crate) fn play(
    workspace: &Workspace,
    suites: &[&str],
    filter: Option<&str>,
    counts: Option<Counts<'_>>,
) -> Result<ExitCode> {
    let mut stories = command(workspace, suites, filter, 1);
    if let Some((variable, file)) = counts {
        let file = std::env::current_dir()
            .context("no current directory")?
            .join(file);
        // Each story adds its counts to it.
        drop(std::fs::remove_file(&file));
        stories.env(variable, file);
    }
    run(&mut stories).map(|(code, _)| code)
}

/// Plays the stories of one suite, `at_once` side by side, and fails if one is left out but for those that `is_excused`.
pub(crate) fn play_all(
    workspace: &Workspace,
    suite: &str,
    filter: Option<&str>,
    at_once: usize,
    is_excused: impl Fn(&str) -> bool,
) -> Result<ExitCode> {
    let (code, printed) = run(&mut command(workspace, &[suite], filter, at_once))?;
    none_left_out(&printed, is_excused)?;
    Ok(code)
}

/// Fails with the lines of stories that were left out, but for those that `is_excused`.
pub(crate) fn none_left_out(printed: &str, is_excused: impl Fn(&str) -> bool) -> Result<()> {
    let left_out = printed.lines().filter(|line| line.contains("left out: "));
    let unexpected: Vec<_> = left_out.filter(|line| !is_excused(line)).collect();
    ensure!(
        unexpected.is_empty(),
        "stories were left out although their programs are there:\n{}",
        unexpected.join("\n")
    );
    Ok(())
}

fn command(workspace: &Workspace, suites: &[&str], filter: Option<&str>, at_once: usize) -> Command {
    let mut stories = workspace.cargo();
    stories
        .args(["test", "--no-fail-fast"])
        .args(modules::package_flags());
    for suite in suites {
        stories.args(["--test", suite]);
    }
    let at_once = at_once.to_string();
    stories
        .args(["--", "--nocapture", "--test-threads", &at_once])
        .args(filter);
    stories
}

/// Whether all passed and there were any, and what they printed.
fn run(stories: &mut Command) -> Result<(ExitCode, String)> {
    let run = process::echo(stories)?;
    let counts = TestCounts::read(&format!("{}\n{}", run.stdout, run.stderr));
    if let Some(TestCounts { passed, failed }) = counts {
        println!("{passed} passed, {failed} failed");
    }
    let code = if run.status.success() && counts.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    Ok((code, run.stdout))
}
