//! Why control gives no explanation.

use std::io;
use std::path::PathBuf;

use url::Url;

use crate::config::ConfigError;

/// In place of `--url`.
pub(super) const URL_VARIABLE: &str = "TOKENWARD_URL";

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not exactly one of session, user and pair.
    #[error("name one of --user, --pair and --session-file")]
    Who,
    /// No address, or no credential.
    #[error("{0}")]
    Where(&'static str),
    /// The configuration is not usable.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Its problems.
        source: ConfigError,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The variable is no address.
    #[error("${URL_VARIABLE} is not a URL: {0}")]
    Variable(url::ParseError),
    /// No answer.
    #[error(
        "control at {url} gives no answer ({source}); check that it runs and that this is its address, not the gateway's"
    )]
    Unreachable {
        /// Its address.
        url: Url,
        /// The client's error, without the URL.
        source: reqwest::Error,
    },
    /// Control refuses.
    #[error("control refuses with {status}: {description}")]
    Refused {
        /// The status.
        status: u16,
        /// Its `error_description`.
        description: String,
    },
    /// Something else answers.
    #[error("{url} answers with status {status}, and not as control does; check the address")]
    NotControl {
        /// The address.
        url: Url,
        /// The status.
        status: u16,
    },
}
