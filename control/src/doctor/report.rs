//! The doctor's report, as a table or as JSON.

use std::fmt;

use serde::Serialize;

use super::probe::ProbeFailure;

/// The result of a check, and of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// Not looked at.
    Skipped,
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
            Self::Skipped => "SKIP",
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

/// What is wrong, and the remedy for this cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) hint: String,
}

impl Finding {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// An answer with another status than the expected one; `hint` is the remedy where the address is at fault.
    pub(super) fn of_status(status: u16, hint: &str) -> Self {
        match status {
            300..=399 => Self::new(
                format!("status {status}: it leads to another address, and redirects are not followed"),
                "configure the address to which it leads",
            ),
            429 => Self::new(
                "status 429: too many requests",
                "wait a minute and run doctor again; a limit at the issuer or before it counts this client",
            ),
            500.. => Self::new(
                format!("status {status}: the server fails"),
                "look at the log of the issuer, and of a proxy before it; logins are preserved meanwhile",
            ),
            _ => Self::new(format!("status {status}"), hint),
        }
    }

    /// The same, of an address that perhaps only clients reach.
    pub(super) fn if_only_clients_reach(self, address: &str) -> Self {
        Self {
            hint: format!(
                "{}; if only clients reach that address, run doctor where they are",
                self.hint
            ),
            ..self.at(address)
        }
    }

    /// The same, at the place `place`.
    pub(super) fn at(self, place: &str) -> Self {
        Self {
            what: format!("{place}: {}", self.what),
            ..self
        }
    }
}

impl From<ProbeFailure> for Finding {
    fn from(failure: ProbeFailure) -> Self {
        Self::new(failure.to_string(), failure.hint())
    }
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

    /// A check that was not made, why, and how to have it made.
    pub(super) fn skipped(
        name: impl Into<String>,
        finding: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            outcome: CheckOutcome::Skipped,
            ..Self::warn(name, finding, hint)
        }
    }

    pub(super) fn failed(name: impl Into<String>, finding: impl Into<Finding>) -> Self {
        let Finding { what, hint } = finding.into();
        Self::fail(name, what, hint)
    }

    pub(super) fn warned(name: impl Into<String>, finding: impl Into<Finding>) -> Self {
        let Finding { what, hint } = finding.into();
        Self::warn(name, what, hint)
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
