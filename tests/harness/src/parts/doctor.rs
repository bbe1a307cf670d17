//! `tokenward doctor`, run as an operator runs it.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::tools;

/// What a run of the doctor found.
#[derive(Debug, Clone)]
pub struct DoctorRun {
    /// Whether its exit code is 0.
    pub succeeded: bool,
    /// `outcome` and `checks`, each with `name`, `outcome`, `finding`, `hint`.
    pub report: Value,
    /// All that it printed.
    pub printed: String,
}

impl DoctorRun {
    /// Runs `tokenward doctor --json` with these arguments; `input` is its standard input.
    ///
    /// # Errors
    /// When it does not print a report.
    pub fn of<S: AsRef<OsStr>>(arguments: &[S], input: &str) -> anyhow::Result<Self> {
        use std::io::Write as _;
        let mut doctor = Command::new(tools::tokenward()?)
            .args(["doctor", "--json"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run the doctor")?;
        let mut stdin = doctor.stdin.take().context("no standard input")?;
        // One that does not read its input closes it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let run = doctor.wait_with_output()?;
        let stdout = String::from_utf8(run.stdout)?;
        let stderr = String::from_utf8(run.stderr)?;
        ensure!(!stdout.is_empty(), "the doctor printed no report: {stderr}");
        Ok(Self {
            succeeded: run.status.success(),
            report: serde_json::from_str(&stdout)?,
            printed: format!("{stdout}{stderr}"),
        })
    }

    /// The only check whose name ends with `name`.
    ///
    /// # Errors
    /// When there is none, or there are several.
    pub fn check(&self, name: &str) -> anyhow::Result<Found> {
        let checks = self.report["checks"].as_array().context("no checks")?;
        let mut found = checks
            .iter()
            .filter(|check| check["name"].as_str().is_some_and(|found| found.ends_with(name)));
        let check = found
            .next()
            .with_context(|| format!("no check {name:?}:\n{}", self.printed))?;
        ensure!(
            found.next().is_none(),
            "several checks {name:?}:\n{}",
            self.printed
        );
        let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
        Ok(Found {
            outcome: text("outcome"),
            finding: text("finding"),
            hint: text("hint"),
        })
    }

    /// The names of the checks with this outcome.
    pub fn names(&self, outcome: &str) -> Vec<String> {
        let checks = self.report["checks"].as_array().into_iter().flatten();
        checks
            .filter(|check| check["outcome"] == outcome)
            .filter_map(|check| check["name"].as_str().map(str::to_owned))
            .collect()
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `ok`, `warn`, `fail`, `skipped`.
    pub outcome: String,
    /// What it found.
    pub finding: String,
    /// The remedy.
    pub hint: String,
}
