//! Loads a [`Config`] from a file or a text.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::problem::{ConfigError, Problem};
use super::{Config, check, raw};
use crate::yaml::{self, Location};

/// Hint for a text that is not YAML.
const NOT_YAML: &str = "check the indentation, the quotes and the brackets here and in the lines before";
const EMPTY: &str = "start with the example in docs/configuration.md";
const ONE_DOCUMENT: &str = "a configuration is one document: remove the line ---, or the other document";

/// A configuration that was read, valid or not.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration, or why there is none.
    pub config: Result<Config, ConfigError>,
    /// The files whose change may change that: the configuration itself, and those that it names, TLS certificates aside.
    pub files: BTreeSet<PathBuf>,
}

impl Loaded {
    /// Reads and checks the configuration in `path`, secrets included. Blocking.
    #[must_use]
    pub fn from_file(path: &Path) -> Self {
        let read = read(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        });
        let mut loaded = match read {
            Ok(text) => Self::from_text(&text),
            Err(unreadable) => Self {
                config: Err(unreadable),
                files: BTreeSet::new(),
            },
        };
        loaded.files.insert(path.to_owned());
        loaded
    }

    fn from_text(text: &str) -> Self {
        let mut files = BTreeSet::new();
        Self {
            config: parse(text, &mut files),
            files,
        }
    }
}

impl Config {
    /// Reads and checks the configuration in `path`, secrets included.
    ///
    /// # Errors
    /// [`ConfigError`], with all problems and not only the first.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Loaded::from_file(path).config
    }

    /// The same for the YAML's text.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Loaded::from_text(text).config
    }
}

/// Checks the YAML `text`, and adds the files that it names to `files`.
fn parse(text: &str, files: &mut BTreeSet<PathBuf>) -> Result<Config, ConfigError> {
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
    let checked = shaped.value.as_ref().map(check::check);
    match checked.map(|checked| (checked.config, files.extend(checked.files))) {
        Some((Ok(config), ())) if problems.is_empty() => return Ok(config),
        Some((Err(found), ())) => {
            // What a map lacks because of a fault that is known already is not reported again.
            let known = |problem: &Problem| {
                let is_of_the_shape = !problems.is_empty() && problem.line == 0;
                is_of_the_shape || shaped.incomplete.iter().any(|place| problem.is_at(*place))
            };
            let found: Vec<Problem> = found.into_iter().filter(|problem| !known(problem)).collect();
            problems.extend(found);
        }
        Some((Ok(_), ())) | None => {}
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    Err(ConfigError::Invalid(problems))
}

/// A configuration of thousands of servers is shorter. A device or log file given by mistake must not fill the memory.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= MAX_BYTES) {
        Ok(text)
    } else {
        Err(std::io::Error::other(format!(
            "it is longer than {MAX_BYTES} bytes"
        )))
    }
}
