//! What the doctor found, as a table or as JSON.

use std::fmt;

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Good.
    Ok,
    /// It works, and somebody should look.
    Warn,
    /// It does not work.
    Fail,
}

impl Outcome {
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
    /// What was looked at: `store`, `issuer https://… (muster)` …
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen. No secret.
    pub says: String,
    /// What to do; empty when nothing is to be done.
    pub cure: String,
}

impl Check {
    pub(super) fn ok(name: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::Ok,
            says: says.into(),
            cure: String::new(),
        }
    }

    pub(super) fn warn(name: impl Into<String>, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Warn,
            cure: cure.into(),
            ..Self::ok(name, says)
        }
    }

    pub(super) fn fail(name: impl Into<String>, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Fail,
            ..Self::warn(name, says, cure)
        }
    }
}

/// All checks, in their order.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The worst of them.
    pub outcome: Outcome,
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
                .unwrap_or(Outcome::Ok),
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
                check.says
            )?;
            if !check.cure.is_empty() {
                writeln!(formatter, "      {:<widest$}  → {}", "", check.cure)?;
            }
        }
        Ok(())
    }
}
