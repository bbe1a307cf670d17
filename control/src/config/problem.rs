//! What is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

use crate::yaml::Location;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the YAML, from 1; 0 where it is not known.
    pub line: u64,
    /// Column, from 1; 0 where it is not known.
    pub column: u64,
    /// What is wrong. Never quotes a secret.
    pub what: String,
    /// How to mend it.
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

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The content is wrong: everything that was found, in the order of the file.
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
