//! Opening the file: everything that can be wrong with it, said with its cure, before any request is served.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
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
        "the store file {} cannot be opened: {source}; check that its folder exists, that this user may write there and \
         that the disk has room", .path.display()
    )]
    Io {
        /// The configured path.
        path: PathBuf,
        /// The file system's answer.
        source: std::io::Error,
    },
    /// The file that this process had open is not at its path any more.
    #[error(
        "the store file {} was moved away or replaced while its disk failed: put it back, or restart to use what is \
         there now (with nothing there everybody logs in once more)", .path.display()
    )]
    Gone {
        /// The configured path.
        path: PathBuf,
    },
}

/// Which file it is, whatever its path: another one in its place may hold refresh tokens that were used long ago.
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

/// Opens or creates the file, verifies its checksums and makes its tables. Blocking.
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
        keep_name(path).map_err(io)?;
    }
    Ok((database, identity))
}

/// Whether [`open`], which asks this first, has a chance: what can be told without the file's lock, which a running
/// tokenward may hold, and without leaving a trace. Blocking.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io {
        path: path.into(),
        source,
    };
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return can_create_beside(path).map_err(io),
        opened => opened.map_err(io)?,
    };
    let metadata = file.metadata().map_err(io)?;
    let mut begins = [0; REDB_BEGINS.len()];
    let is_ours = metadata.is_file()
        && (metadata.len() == 0 || (file.read_exact(&mut begins).is_ok() && begins == *REDB_BEGINS));
    if is_ours {
        Ok(())
    } else {
        Err(OpenError::Damaged {
            path: path.into(),
            what: "it does not begin like one".to_owned(),
        })
    }
}

/// How every redb file begins.
const REDB_BEGINS: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Makes a file in the folder: without a name where the file system can do that, so that it is gone when it is closed.
fn can_create_beside(path: &Path) -> std::io::Result<()> {
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
        let nameless = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, nameless, Mode::RUSR | Mode::WUSR) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {}
            opened => return Ok(opened.map(drop)?),
        }
    }
    let trial = folder.join(format!(".tokenward-trial-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&trial)?;
    std::fs::remove_file(trial)
}

/// Opens the file that `identity` names once more, after its disk has failed; never makes one. Blocking.
pub(super) fn open_again(path: &Path, identity: &Identity) -> Result<Database, OpenError> {
    let io = |source| OpenError::Io {
        path: path.into(),
        source,
    };
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(OpenError::Gone { path: path.into() });
        }
        opened => opened.map_err(io)?,
    };
    if Identity::of(&file).map_err(io)? != *identity {
        return Err(OpenError::Gone { path: path.into() });
    }
    forget_what_is_not_on_disk(&file).map_err(io)?;
    drop(file);
    verified(path, |builder| builder.open(path))
}

/// A page that could not be written counts as written to the kernel, which goes on showing it until it is gone after a
/// crash. Whatever is on disk in truth shall be read.
fn forget_what_is_not_on_disk(file: &File) -> std::io::Result<()> {
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
        // A plain open trusts the file, and a damaged one may then panic much later, under a request.
        .set_check_integrity_on_open(true);
    let database = open(&mut builder).map_err(|error| explain(path, error))?;
    let other_format = prepare(&database).map_err(|error| unprepared(path, error))?;
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
fn create_private(path: &Path) -> std::io::Result<Identity> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Identity::of(&options.open(path)?)
}

/// A new file outlives a loss of power when its folder is on disk too.
fn keep_name(path: &Path) -> std::io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()) {
        // A folder that may be written but not read, or a file system that cannot do it.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        kept => kept,
    }
}

fn unprepared(path: &Path, error: redb::Error) -> OpenError {
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
