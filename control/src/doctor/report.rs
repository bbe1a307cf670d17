//! The doctor's report, as a table or as JSON.

use std::fmt;

use serde::Serialize;

/// The result of a check, and of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// No problem.
    Ok,
    /// It works, and needs attention.
    Warn,
    /// It does not work.
    Fail,
}

impl CheckOutcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The checked part: `store`, `issuer https://… (muster)` …
    pub name: String,
    /// The result.
    pub outcome: CheckOutcome,
    /// What the check found; contains no secret.
    pub finding: String,
    /// How to fix it; empty where nothing needs to be done.
    pub hint: String,
}

impl Check {
    pub(super) fn ok(name: impl Into<String>, finding: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome: CheckOutcome::Ok,
            finding: finding.into(),
            hint: String::new(),
        }
    }

    pub(super) fn warn(name: impl Into<String>, finding: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            outcome: CheckOutcome::Warn,
            hint: hint.into(),
            ..Self::ok(name, finding)
        }
    }

    pub(super) fn fail(name: impl Into<String>, finding: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            outcome: CheckOutcome::Fail,
            ..Self::warn(name, finding, hint)
        }
    }
}

/// All checks, in the order in which they ran.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The worst outcome of the checks.
    pub outcome: CheckOutcome,
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    pub(super) fn of(checks: Vec<Check>) -> Self {
        Self {
            outcome: checks
                .iter()
                .map(|check| check.outcome)
                .max()
                .unwrap_or(CheckOutcome::Ok),
            checks,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self
            .checks
            .iter()
            .map(|check| check.name.chars().count())
            .max()
            .unwrap_or(0);
        for check in &self.checks {
            writeln!(
                formatter,
                "{:<4}  {:<widest$}  {}",
                check.outcome.name(),
                check.name,
                check.finding
            )?;
            if !check.hint.is_empty() {
                writeln!(formatter, "      {:<widest$}  → {}", "", check.hint)?;
            }
        }
        Ok(())
    }
}
