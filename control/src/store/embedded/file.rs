//! The open store file, its closing after a disk error, and its reopening.
//!
//! After one failed read or write redb refuses every operation until its file is opened again: a disk that was full for a
//! minute would make the store unavailable until a restart of the process. So the file is closed at once, which releases
//! its lock, and a later operation opens it again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use redb::Database;

use super::open::{self, Identity, OpenError};
use super::tables;

/// The shortest time between two attempts to reopen the file.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);
/// Each attempt reads the whole file. The pause after an attempt is this multiple of its duration, so that reopening takes
/// at most about a tenth of the time.
const REOPEN_PAUSE_FACTOR: u32 = 10;

/// An error of the engine. A clone goes to each caller with a change in the failed transaction.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum FileError {
    #[error("{0}")]
    Redb(Arc<redb::Error>),
    #[error("{0}")]
    Unavailable(Arc<Outage>),
    #[error("it was closed")]
    Closed,
    #[error("the operation stopped unexpectedly; restart if this persists, the file is checked on start")]
    Panicked,
}

impl FileError {
    /// The cause for callers: contains no path.
    pub(super) const fn cause(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => {
                "the disk fails its file (full, over its quota or broken); the log names it"
            }
            Self::Redb(_) => "its file cannot be read or written; the log names it",
            Self::Closed => "its file is closed",
            Self::Panicked => "the operation stopped unexpectedly",
        }
    }
}

/// Why the file is not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum Outage {
    #[error(
        "the disk failed the store file {}: {error}; check its free space, its quota and the kernel's log: control \
         retries continuously, no restart is needed", .path.display()
    )]
    Disk { path: PathBuf, error: redb::Error },
    #[error(transparent)]
    Reopen(OpenError),
}

enum State {
    Open {
        database: Database,
        /// The number of this opening: distinguishes its failures from late failures of an earlier one.
        generation: u64,
    },
    Unavailable(Arc<Outage>),
    Closed,
}

/// The state of reopening. The thread that holds its lock reopens the file.
struct Reopening {
    not_before: Instant,
    generation: u64,
}

/// The store file, until it is closed.
pub(super) struct OpenFile {
    path: PathBuf,
    identity: Identity,
    state: RwLock<State>,
    reopening: Mutex<Reopening>,
}

impl OpenFile {
    /// Opens or creates the file at `path`. Blocking.
    pub(super) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let (database, identity) = open::open(&path)?;
        Ok(Self {
            path,
            identity,
            state: RwLock::new(State::Open {
                database,
                generation: 0,
            }),
            reopening: Mutex::new(Reopening {
                not_before: Instant::now(),
                generation: 0,
            }),
        })
    }

    /// Runs `work` on the database. The file stays open until `work` has returned. Blocking.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, FileError> {
        if self.is_unavailable() {
            self.reopen();
        }
        let (result, generation) = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open { database, generation } => (work(database), *generation),
            State::Unavailable(outage) => return Err(FileError::Unavailable(Arc::clone(outage))),
            State::Closed => return Err(FileError::Closed),
        };
        result.map_err(|error| self.record_failure(error, generation))
    }

    /// Waits for all work in progress, then closes the file.
    pub(super) fn close(&self) {
        let _reopening = self.reopening.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_state(State::Closed);
    }

    fn is_unavailable(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Unavailable(_))
    }

    /// Waits for all work in progress. A database that was open is closed before this returns.
    fn set_state(&self, next: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Closes the file if `error` requires it. A change in progress may or may not be in the file: no caller sees either
    /// state until the file has been read from disk again.
    fn record_failure(&self, error: redb::Error, generation: u64) -> FileError {
        if !requires_reopen(&error) {
            return FileError::Redb(Arc::new(error));
        }
        let outage = Arc::new(self.disk_failure(error));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*state, State::Open { generation: current, .. } if *current == generation) {
            *state = State::Unavailable(Arc::clone(&outage));
        }
        FileError::Unavailable(outage)
    }

    fn reopen(&self) {
        let Some(mut reopening) = self.try_lock_reopening() else {
            return;
        };
        let began = Instant::now();
        if began < reopening.not_before || !self.is_unavailable() {
            return;
        }
        // Set before the attempt as well, in case it panics.
        reopening.not_before = began + REOPEN_INTERVAL;
        let reopened = self.try_reopen();
        reopening.not_before = Instant::now() + REOPEN_INTERVAL.max(began.elapsed() * REOPEN_PAUSE_FACTOR);
        reopening.generation += 1;
        self.set_state(match reopened {
            Ok(database) => {
                tracing::debug!("reopened the store file");
                State::Open {
                    database,
                    generation: reopening.generation,
                }
            }
            Err(outage) => {
                tracing::debug!(error = %outage, "cannot reopen the store file");
                State::Unavailable(Arc::new(outage))
            }
        });
    }

    fn try_reopen(&self) -> Result<Database, Outage> {
        let database = open::reopen(&self.path, &self.identity).map_err(|error| match error {
            OpenError::Io { source, .. } => self.disk_failure(redb::Error::Io(source)),
            other => Outage::Reopen(other),
        })?;
        // A file on a full disk can be opened: only a write detects the full disk.
        tables::test_write(&database).map_err(|error| self.disk_failure(error))?;
        Ok(database)
    }

    fn disk_failure(&self, error: redb::Error) -> Outage {
        Outage::Disk {
            path: self.path.clone(),
            error,
        }
    }

    fn try_lock_reopening(&self) -> Option<MutexGuard<'_, Reopening>> {
        match self.reopening.try_lock() {
            Ok(reopening) => Some(reopening),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Whether redb refuses all further operations after `error`.
fn requires_reopen(error: &redb::Error) -> bool {
    matches!(
        error,
        redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::LockPoisoned(_)
    )
}
