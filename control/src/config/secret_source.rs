//! Secrets from files and the environment.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// Longest secret that is accepted.
const MAX_BYTES: usize = 64 * 1024;

/// Where one secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SecretSource {
    /// The content of a file, without one trailing line break.
    File(PathBuf),
    /// The value of an environment variable.
    Environment(String),
}

/// Why a secret cannot be read. Names the source, never its content.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretUnreadable {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The variable is not set, or is not UTF-8.
    #[error("the environment variable {0} is not set (or is not UTF-8)")]
    Environment(String),
    /// The content is too long for a secret, so the wrong file is named.
    #[error("{0} is longer than {MAX_BYTES} bytes")]
    TooLong(SecretSource),
    /// The content is empty.
    #[error("{0} is empty")]
    Empty(SecretSource),
    /// The content has a line break or another control character: usually a file with more than the secret.
    #[error("{0} contains control characters or more than one line")]
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
    /// Reads the secret, which is one line.
    ///
    /// # Errors
    /// [`SecretUnreadable`].
    pub(super) fn read(&self) -> Result<SecretString, SecretUnreadable> {
        self.text(char::is_control)
    }

    /// Reads a text of several lines, such as a key in PEM.
    ///
    /// # Errors
    /// [`SecretUnreadable`].
    pub(super) fn read_lines(&self) -> Result<SecretString, SecretUnreadable> {
        self.text(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t'))
    }

    /// The content without its last line break, if it contains none of the `refused` characters.
    fn text(&self, refused: impl Fn(char) -> bool) -> Result<SecretString, SecretUnreadable> {
        let text: SecretString = match self {
            Self::File(path) => read_file(path)?.into(),
            Self::Environment(name) => std::env::var(name)
                .map_err(|_| SecretUnreadable::Environment(name.clone()))?
                .into(),
        };
        let content = text.expose_secret();
        if content.len() > MAX_BYTES {
            return Err(SecretUnreadable::TooLong(self.clone()));
        }
        // Editors and `echo` end a file with a line break that is not part of the secret.
        let content = content.strip_suffix('\n').unwrap_or(content);
        let content = content.strip_suffix('\r').unwrap_or(content);
        if content.is_empty() {
            return Err(SecretUnreadable::Empty(self.clone()));
        }
        if content.chars().any(refused) {
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
    // One byte more than is accepted: a device or log file given by mistake must not fill the memory.
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(most).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}
