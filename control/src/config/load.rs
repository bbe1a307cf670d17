//! Loads a [`Config`] from a file or a text.

use std::io::Read as _;
use std::path::Path;

use super::problem::{ConfigError, Problem};
use super::{Config, check, raw};
use crate::yaml::{self, Location};

/// What to do about a text that is no YAML.
const NOT_YAML: &str = "see to the indentation, the quotes and the brackets here and in the lines before";
const EMPTY: &str = "begin with the example in docs/configuration.md";
const ONE_DOCUMENT: &str = "a configuration is one document: remove the line ---, or the other document";

impl Config {
    /// Reads, checks and completes the configuration in `path`, secrets included.
    ///
    /// # Errors
    /// [`ConfigError`]: everything that is wrong, not only the first.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// The same, from the YAML's text.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let documents = yaml::documents(text)
            .map_err(|error| ConfigError::Invalid(vec![Problem::at(error.place, error.what, NOT_YAML)]))?;
        let document = match documents.as_slice() {
            [document] => document,
            [] => {
                return Err(ConfigError::Invalid(vec![Problem::at(
                    Location::UNKNOWN,
                    "it is empty",
                    EMPTY,
                )]));
            }
            [_, second, ..] => {
                let what = "a second document begins here";
                return Err(ConfigError::Invalid(vec![Problem::at(
                    second.place,
                    what,
                    ONE_DOCUMENT,
                )]));
            }
        };
        let shaped = yaml::typed::<raw::RawConfig>(document);
        let mut problems: Vec<Problem> = shaped
            .faults
            .into_iter()
            .map(|fault| Problem::at(fault.place, fault.what, fault.hint))
            .collect();
        match shaped.value.as_ref().map(check::check) {
            Some(Ok(config)) if problems.is_empty() => return Ok(config),
            Some(Err(found)) => {
                // What a map lacks because a part of it has a fault is not wrong by itself.
                let incomplete =
                    |problem: &Problem| shaped.incomplete.iter().any(|place| problem.is_at(*place));
                problems.extend(found.into_iter().filter(|problem| !incomplete(problem)));
            }
            Some(Ok(_)) | None => {}
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.dedup();
        Err(ConfigError::Invalid(problems))
    }
}

/// A configuration of thousands of servers is shorter. A device or a log file named by mistake must not fill the memory.
const LONGEST_BYTES: u64 = 8 * 1024 * 1024;

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(LONGEST_BYTES + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= LONGEST_BYTES) {
        Ok(text)
    } else {
        Err(std::io::Error::other(format!(
            "it is longer than {LONGEST_BYTES} bytes"
        )))
    }
}
