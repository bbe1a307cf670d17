//! Secrets from files and the environment.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// No secret is longer.
const LONGEST_BYTES: usize = 64 * 1024;

/// Where one secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SecretSource {
    /// The content of a file, without one trailing line break.
    File(PathBuf),
    /// The value of an environment variable.
    Environment(String),
}

/// Why a secret cannot be had. Names the source, never what was in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretUnreadable {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable is not set, or is not UTF-8.
    #[error("the environment variable {0} is not set (or is not UTF-8)")]
    Environment(String),
    /// It is no secret but a file that was meant for something else.
    #[error("{0} is longer than {LONGEST_BYTES} bytes")]
    TooLong(SecretSource),
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(SecretSource),
    /// The content holds a line break or another control character: usually a file of more than the secret.
    #[error("{0} holds control characters or more than one line")]
    ControlCharacters(SecretSource),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Environment(name) => write!(formatter, "the environment variable {name}"),
        }
    }
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// [`SecretUnreadable`].
    pub(super) fn read(&self) -> Result<SecretString, SecretUnreadable> {
        let text: SecretString = match self {
            Self::File(path) => read_file(path)?.into(),
            Self::Environment(name) => std::env::var(name)
                .map_err(|_| SecretUnreadable::Environment(name.clone()))?
                .into(),
        };
        let content = text.expose_secret();
        if content.len() > LONGEST_BYTES {
            return Err(SecretUnreadable::TooLong(self.clone()));
        }
        // Editors and `echo` end a file with a line break that nobody meant.
        let content = content.strip_suffix('\n').unwrap_or(content);
        let content = content.strip_suffix('\r').unwrap_or(content);
        if content.is_empty() {
            return Err(SecretUnreadable::Empty(self.clone()));
        }
        if content.chars().any(char::is_control) {
            return Err(SecretUnreadable::ControlCharacters(self.clone()));
        }
        Ok(content.into())
    }
}

fn read_file(path: &Path) -> Result<String, SecretUnreadable> {
    let unreadable = |source| SecretUnreadable::File {
        path: path.to_owned(),
        source,
    };
    // One byte more than is accepted: a device or a log file named by mistake must not fill the memory.
    let most = u64::try_from(LONGEST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(most).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}
