//! The open file, how an error of the disk takes it away, and how it comes back.
//!
//! After one failed read or write redb refuses everything until its file is opened anew: a disk that was full for a
//! minute would take the store away until somebody restarts the process. So the file is closed at once, which gives up
//! its lock, and opened again by whoever asks next.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use redb::Database;

use super::open::{self, Identity, OpenError};
use super::tables;

/// Between two attempts to open the file again.
const ATTEMPTS_APART: Duration = Duration::from_secs(1);
/// Each attempt reads the whole file: at most this part of the time is spent on that.
const ATTEMPTS_SHARE: u32 = 10;

/// What the engine itself reports; cloned to everybody whose change was in the failed transaction.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum EngineFailure {
    #[error("{0}")]
    Redb(Arc<redb::Error>),
    #[error("{0}")]
    Lost(Arc<Loss>),
    #[error("it was closed")]
    Closed,
    #[error("the operation stopped unexpectedly; restart if this stays, the file is checked on start")]
    Panicked,
}

impl EngineFailure {
    pub(super) const fn cause(&self) -> &'static str {
        match self {
            Self::Lost(_) => "the disk fails its file (full, over its quota or broken); the log names it",
            Self::Redb(_) => "its file cannot be read or written; the log names it",
            Self::Closed => "its file is closed",
            Self::Panicked => "the operation stopped unexpectedly",
        }
    }
}

/// Why the file is not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum Loss {
    #[error(
        "the disk failed the store file {}: {error}; see to its free space, its quota and the kernel's log: the file \
         is tried again all the time, no restart is needed", .path.display()
    )]
    Disk { path: PathBuf, error: redb::Error },
    #[error(transparent)]
    Reopening(OpenError),
}

enum State {
    /// Its number tells a failure of this opening from a late one of an earlier.
    Open {
        database: Database,
        opening: u64,
    },
    Lost(Arc<Loss>),
    Closed,
}

/// Whoever holds them is the one who opens the file again.
struct Attempts {
    not_before: Instant,
    openings: u64,
}

/// The file, until it is closed.
pub(super) struct OpenFile {
    path: PathBuf,
    identity: Identity,
    state: RwLock<State>,
    attempts: Mutex<Attempts>,
}

impl OpenFile {
    /// Opens or creates the file at `path`. Blocking.
    pub(super) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let (database, identity) = open::open(&path)?;
        Ok(Self {
            path,
            identity,
            state: RwLock::new(State::Open { database, opening: 0 }),
            attempts: Mutex::new(Attempts {
                not_before: Instant::now(),
                openings: 0,
            }),
        })
    }

    /// Runs `work` on the database. The file stays open until it has ended. Blocking.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, EngineFailure> {
        if self.is_lost() {
            self.open_again();
        }
        let (done, opening) = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open { database, opening } => (work(database), *opening),
            State::Lost(loss) => return Err(EngineFailure::Lost(Arc::clone(loss))),
            State::Closed => return Err(EngineFailure::Closed),
        };
        done.map_err(|error| self.failed(error, opening))
    }

    /// Waits for all work that has begun, then closes the file.
    pub(super) fn close(&self) {
        let _nobody_opens_it = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        self.becomes(State::Closed);
    }

    fn is_lost(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Lost(_))
    }

    /// Waits for all work that has begun; a database that was open is closed before this returns.
    fn becomes(&self, next: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// What was under way may be in the file or not: after this nobody sees either before the disk has told.
    fn failed(&self, error: redb::Error, opening: u64) -> EngineFailure {
        if !takes_the_file_away(&error) {
            return EngineFailure::Redb(Arc::new(error));
        }
        let loss = Arc::new(self.failed_by_disk(error));
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*state, State::Open { opening: now, .. } if *now == opening) {
            *state = State::Lost(Arc::clone(&loss));
        }
        EngineFailure::Lost(loss)
    }

    fn open_again(&self) {
        let Some(mut attempts) = self.attempts_if_free() else {
            return;
        };
        let began = Instant::now();
        if began < attempts.not_before || !self.is_lost() {
            return;
        }
        // Also if the attempt panics.
        attempts.not_before = began + ATTEMPTS_APART;
        let opened = self.opened_again();
        attempts.not_before = Instant::now() + ATTEMPTS_APART.max(began.elapsed() * ATTEMPTS_SHARE);
        attempts.openings += 1;
        self.becomes(match opened {
            Ok(database) => {
                tracing::debug!("the store file is open again");
                State::Open {
                    database,
                    opening: attempts.openings,
                }
            }
            Err(loss) => {
                tracing::debug!(%loss, "the store file could not be opened again");
                State::Lost(Arc::new(loss))
            }
        });
    }

    fn opened_again(&self) -> Result<Database, Loss> {
        let database = open::open_again(&self.path, &self.identity).map_err(|error| match error {
            OpenError::Io { source, .. } => self.failed_by_disk(redb::Error::Io(source)),
            other => Loss::Reopening(other),
        })?;
        // A file can be opened on a full disk: only a write tells that writes work.
        tables::try_writing(&database).map_err(|error| self.failed_by_disk(error))?;
        Ok(database)
    }

    fn failed_by_disk(&self, error: redb::Error) -> Loss {
        Loss::Disk {
            path: self.path.clone(),
            error,
        }
    }

    fn attempts_if_free(&self) -> Option<MutexGuard<'_, Attempts>> {
        match self.attempts.try_lock() {
            Ok(attempts) => Some(attempts),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Whether redb refuses everything from now on.
fn takes_the_file_away(error: &redb::Error) -> bool {
    matches!(
        error,
        redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::LockPoisoned(_)
    )
}
