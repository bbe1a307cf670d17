//! Opening the file: everything that can be wrong with it, said with its cure, before any request is served.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, StorageError};

use super::tables;

/// redb's own default is 1 GiB, more than a pod usually has.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why the embedded store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another store in this one) holds the file's lock.
    #[error(
        "the store file {} is already open by another process: stop the other tokenward, or give this one its own \
         store.embedded.path (several replicas need store.valkey)", .path.display()
    )]
    AlreadyOpen {
        /// The configured path.
        path: PathBuf,
    },
    /// The file is not one of ours, or its checksums do not match.
    #[error(
        "the store file {} is damaged or is no store file ({what}): restore it from a backup, or move it away to \
         start with an empty store (everybody then logs in once more)", .path.display()
    )]
    Damaged {
        /// The configured path.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The file was written by a version with other tables.
    #[error(
        "the store file {} was written by another version of tokenward ({what}): run that version, or move the file \
         away to start with an empty store (everybody then logs in once more)", .path.display()
    )]
    OtherVersion {
        /// The configured path.
        path: PathBuf,
        /// Which format it has.
        what: String,
    },
    /// The file system refused.
    #[error(
        "the store file {} cannot be opened: {source}; check that its folder exists and that this user may write there",
        .path.display()
    )]
    Io {
        /// The configured path.
        path: PathBuf,
        /// The file system's answer.
        source: std::io::Error,
    },
}

/// Opens or creates the file, verifies its checksums and makes its tables. Blocking.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    create_private(path).map_err(|source| OpenError::Io {
        path: path.into(),
        source,
    })?;
    let database = Builder::new()
        .set_cache_size(CACHE_BYTES)
        // A plain open trusts the file, and a damaged one may then panic much later, under a request.
        .set_check_integrity_on_open(true)
        .create(path)
        .map_err(|error| explain(path, error))?;
    let other_format = prepare(&database).map_err(|error| OpenError::Damaged {
        path: path.into(),
        what: error.to_string(),
    })?;
    match other_format {
        None => Ok(database),
        Some(format) => Err(OpenError::OtherVersion {
            path: path.into(),
            what: format!("format {format}"),
        }),
    }
}

fn prepare(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_write()?;
    let other_format = tables::prepare(&transaction)?;
    if other_format.is_none() {
        transaction.commit()?;
    }
    Ok(other_format)
}

/// Creates the file, if it is missing, readable by its owner only: tokens in it are sealed, user names are not.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn explain(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::AlreadyOpen { path }
        }
        DatabaseError::UpgradeRequired(version) => OpenError::OtherVersion {
            path,
            what: format!("file version {version}"),
        },
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            OpenError::Io { path, source }
        }
        other => OpenError::Damaged {
            path,
            what: other.to_string(),
        },
    }
}
