//! Problems of a configuration.

use std::fmt;
use std::path::PathBuf;

use crate::yaml::Location;

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the YAML, from 1; 0 if unknown.
    pub line: u64,
    /// Column, from 1; 0 if unknown.
    pub column: u64,
    /// Description of the problem. Never quotes a secret.
    pub what: String,
    /// How to fix it; empty where the description contains that.
    pub hint: String,
}

impl Problem {
    pub(super) fn at(place: Location, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            line: place.line(),
            column: place.column(),
            what: what.into(),
            hint: hint.into(),
        }
    }

    pub(super) fn is_at(&self, place: Location) -> bool {
        place != Location::UNKNOWN && (self.line, self.column) == (place.line(), place.column())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {}, column {}: ", self.line, self.column)?;
        }
        write!(formatter, "{}", self.what)?;
        if self.hint.is_empty() {
            return Ok(());
        }
        write!(formatter, "; {}", self.hint)
    }
}

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The content is invalid: all problems, in the order of the file.
    #[error("{}", one_per_line(.0))]
    Invalid(Vec<Problem>),
}

fn one_per_line(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
