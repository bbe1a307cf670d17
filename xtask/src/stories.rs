//! Runs suites of long stories that print a table of their counts and write them into a file.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::runner_output::TestCounts;
use crate::workspace::Workspace;
use crate::{modules, process};

/// The variable by which a suite learns where to write its counts, and the file.
pub(crate) type Counts<'a> = (&'a str, &'a Path);

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
