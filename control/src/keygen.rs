//! `tokenward keygen`: makes a signing key for access tokens. Control never makes one by itself: each replica would have its
//! own.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use crate::authorization::access_token::{self, BadSigningKey, NoRandomness, SigningKeys};
use crate::config::SigningKeysConfig;

/// A new key.
#[derive(Debug)]
pub struct NewKey {
    /// PKCS#8 PEM.
    pub pem: SecretString,
    /// Its `kid`, by which it is found in the published key set.
    pub key_id: String,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// The system has no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The new key cannot be read back.
    #[error("the new key is not usable: {0}")]
    Bad(#[from] BadSigningKey),
    /// The file exists. A key that is in use must not be replaced: its tokens would be refused at once.
    #[error("{0} exists already: name another file; the key that it may contain is not replaced")]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Makes a key.
///
/// # Errors
/// [`KeygenError`].
pub fn make() -> Result<NewKey, KeygenError> {
    let pem = access_token::generate()?;
    let keys = SigningKeys::from_config(&SigningKeysConfig {
        current: pem.clone(),
        next: None,
    })?;
    Ok(NewKey {
        pem,
        key_id: keys.current_key_id().to_owned(),
    })
}

impl NewKey {
    /// Writes the key to a new file that only its owner can read (mode 0600).
    ///
    /// # Errors
    /// [`KeygenError`]; a file that exists stays as it is.
    pub fn write(&self, path: &Path) -> Result<(), KeygenError> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AlreadyExists => KeygenError::Exists(path.to_owned()),
            _ => KeygenError::Write {
                path: path.to_owned(),
                source,
            },
        };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        file.write_all(self.pem.expose_secret().as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed)
    }
}
