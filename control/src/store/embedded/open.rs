//! Opening the store file: detects every fault of the file before the first request, and reports it with a hint.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, StorageError};

use super::tables;

/// redb's default is 1 GiB, more than a pod usually has.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why the embedded store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this process, holds the file's lock.
    #[error(
        "the store file {} is already open by another process: stop the other tokenward, or set another \
         store.embedded.path (several replicas need store.valkey)", .path.display()
    )]
    AlreadyOpen {
        /// The configured path.
        path: PathBuf,
    },
    /// The file is not a store file, or its checksums do not match.
    #[error(
        "the store file {} is damaged or is not a store file ({what}): restore it from a backup, or move it away to \
         start with an empty store (every user then logs in again)", .path.display()
    )]
    Damaged {
        /// The configured path.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A version of Tokenward with other tables wrote the file.
    #[error(
        "the store file {} was written by another version of tokenward ({what}): run that version, or move the file \
         away to start with an empty store (every user then logs in again)", .path.display()
    )]
    OtherVersion {
        /// The configured path.
        path: PathBuf,
        /// The format that it has.
        what: String,
    },
    /// The file system returned an error.
    #[error(
        "the store file {} cannot be opened: {source}; check that its folder exists, that this user may write there and \
         that the disk has room", .path.display()
    )]
    Io {
        /// The configured path.
        path: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// The file that this process had open is no longer at its path.
    #[error(
        "the store file {} was moved away or replaced while its disk failed: put it back, or restart to use the \
         present one (without one every user logs in again)", .path.display()
    )]
    Moved {
        /// The configured path.
        path: PathBuf,
    },
}

/// Identifies a file independently of its path (device and inode): another file at the same path may hold refresh tokens
/// that were used long ago.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity(Option<(u64, u64)>);

impl Identity {
    #[cfg(unix)]
    fn of(file: &File) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let file = file.metadata()?;
        Ok(Self(Some((file.dev(), file.ino()))))
    }

    #[cfg(not(unix))]
    fn of(_file: &File) -> std::io::Result<Self> {
        Ok(Self(None))
    }
}

/// Opens or creates the file, verifies its checksums and creates its tables. Blocking.
pub(super) fn open(path: &Path) -> Result<(Database, Identity), OpenError> {
    let io = |source| OpenError::Io {
        path: path.into(),
        source,
    };
    check(path)?;
    let is_new = !path.exists();
    let identity = create_private(path).map_err(io)?;
    let database = verified(path, |builder| builder.create(path))?;
    if is_new {
        sync_folder(path).map_err(io)?;
    }
    Ok((database, identity))
}

/// The part of [`open`] that needs no lock, which a running Tokenward may hold: reports faults that are visible without
/// it and leaves no file behind. Blocking.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io {
        path: path.into(),
        source,
    };
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return check_folder(path).map_err(io),
        opened => opened.map_err(io)?,
    };
    let metadata = file.metadata().map_err(io)?;
    let mut magic = [0; REDB_MAGIC.len()];
    let is_redb = metadata.is_file()
        && (metadata.len() == 0 || (file.read_exact(&mut magic).is_ok() && magic == *REDB_MAGIC));
    if is_redb {
        Ok(())
    } else {
        Err(OpenError::Damaged {
            path: path.into(),
            what: "it does not begin with redb's magic number".to_owned(),
        })
    }
}

/// The magic number of a redb file.
const REDB_MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Tests that a file can be created in the folder of `path`. Where the file system supports it, the test file has no name
/// and disappears when it is closed.
fn check_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(ErrorKind::IsADirectory.into());
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags};
        use rustix::io::Errno;
        let unnamed = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, unnamed, Mode::RUSR | Mode::WUSR) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {}
            opened => return Ok(opened.map(drop)?),
        }
    }
    let test = folder.join(format!(".tokenward-trial-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&test)?;
    std::fs::remove_file(test)
}

/// Opens the file with `identity` again after its disk has failed; never creates one. Blocking.
pub(super) fn reopen(path: &Path, identity: &Identity) -> Result<Database, OpenError> {
    let io = |source| OpenError::Io {
        path: path.into(),
        source,
    };
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(OpenError::Moved { path: path.into() });
        }
        opened => opened.map_err(io)?,
    };
    if Identity::of(&file).map_err(io)? != *identity {
        return Err(OpenError::Moved { path: path.into() });
    }
    drop_page_cache(&file).map_err(io)?;
    drop(file);
    verified(path, |builder| builder.open(path))
}

/// Makes the next read return what is on disk. After a failed write the kernel marks the page as clean and returns it to
/// readers, although it is lost after a crash.
fn drop_page_cache(file: &File) -> std::io::Result<()> {
    file.sync_all()?;
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

fn verified(
    path: &Path,
    open: impl FnOnce(&mut Builder) -> Result<Database, DatabaseError>,
) -> Result<Database, OpenError> {
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE_BYTES)
        // Without this redb trusts the file, and a damaged one may panic much later, during a request.
        .set_check_integrity_on_open(true);
    let database = open(&mut builder).map_err(|error| open_error(path, error))?;
    let other_format = prepare(&database).map_err(|error| prepare_error(path, error))?;
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

/// Creates the file if it is missing, readable by its owner only: tokens in it are sealed, user names are not.
fn create_private(path: &Path) -> std::io::Result<Identity> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Identity::of(&options.open(path)?)
}

/// Syncs the folder of a new file: its name survives a power loss only if the folder is on disk too.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()) {
        // The folder may be writable but not readable, or the file system does not support syncing a folder.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

fn prepare_error(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) => OpenError::Io {
            path: path.into(),
            source,
        },
        other => OpenError::Damaged {
            path: path.into(),
            what: other.to_string(),
        },
    }
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
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
