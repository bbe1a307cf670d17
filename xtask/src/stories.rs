//! Runs suites of long stories that print a table of their counts and write them into a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
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
    let mut stories = workspace.cargo();
    stories
        .args(["test", "--no-fail-fast"])
        .args(modules::package_flags());
    for suite in suites {
        stories.args(["--test", suite]);
    }
    stories
        .args(["--", "--nocapture", "--test-threads", "1"])
        .args(filter);
    if let Some((variable, file)) = counts {
        let file = std::env::current_dir()
            .context("no current directory")?
            .join(file);
        // Each story adds its counts to it.
        drop(std::fs::remove_file(&file));
        stories.env(variable, file);
    }
    let run = process::echo(&mut stories)?;
    let counts = TestCounts::read(&format!("{}\n{}", run.stdout, run.stderr));
    if let Some(TestCounts { passed, failed }) = counts {
        println!("{passed} passed, {failed} failed");
    }
    Ok(if run.status.success() && counts.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
