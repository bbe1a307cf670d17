//! The embedded engine: one redb file, one process. The default, and all that a single replica needs.
//!
//! Reads run on tokio's blocking threads against a snapshot; writes go through the one [`writer`], which commits
//! durably before it answers. Revisions come from one counter of the file, so a key that was deleted and written
//! again never repeats a revision. What an error of the disk does to all of that is told in [`file`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableDatabase};

use crate::clock::Clock;

use super::lifetime::lifetime_ms;
use super::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, Page, Store, StoreError, WriteOutcome,
};

mod file;
mod leases;
mod open;
mod tables;
mod writer;

pub use open::OpenError;

use file::{EngineFailure, OpenFile};
use leases::Leases;
use tables::{Change, Changed};
use writer::Writer;

/// How many expired entries one [`EmbeddedStore::sweep`] transaction removes before others get their turn.
const SWEPT_AT_ONCE: usize = 512;

/// A store in one file that only this process may have open. Dropping it closes the file as soon as the operations
/// under way have ended; [`EmbeddedStore::close`] also waits for that.
pub struct EmbeddedStore {
    path: PathBuf,
    deadline: Duration,
    clock: Arc<dyn Clock>,
    file: Arc<OpenFile>,
    writer: Arc<Writer>,
    leases: Leases,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EmbeddedStore")
            .field("path", &self.path)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens `path`, creating it when it is missing; reads the whole file once to verify its checksums.
    /// `deadline` bounds every operation afterwards, not the opening.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do about it.
    pub async fn open(
        path: impl AsRef<Path>,
        deadline: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        let opened = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || OpenFile::open(path)).await
        };
        let file = opened.unwrap_or_else(|_| {
            Err(OpenError::Damaged {
                path: path.clone(),
                what: "its structure makes no sense".to_owned(),
            })
        })?;
        let file = Arc::new(file);
        Ok(Self {
            path,
            deadline,
            writer: Arc::new(Writer::new(Arc::clone(&file), Arc::clone(&clock))),
            clock,
            file,
            leases: Leases::default(),
        })
    }

    /// Whether [`EmbeddedStore::open`] would find a file at `path`, or a folder to make one in: without its lock and without
    /// leaving a trace. Blocking.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn check(path: &Path) -> Result<(), OpenError> {
        open::check(path)
    }

    /// Waits for the operations under way and closes the file, so that it can be opened again at once. Whatever is
    /// asked afterwards fails.
    ///
    /// # Errors
    /// [`StoreError::Late`] when an operation has not ended within the deadline; the file is closed once it has.
    pub async fn close(&self) -> Result<(), StoreError> {
        let file = Arc::clone(&self.file);
        let closing = tokio::task::spawn_blocking(move || file.close());
        match tokio::time::timeout(self.deadline, closing).await {
            Err(_) => Err(self.late("close")),
            Ok(Err(_)) => Err(failed("close", EngineFailure::Panicked)),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Removes everything that has expired, a few hundred per transaction, and returns how much that was.
    /// Expired values are never served, swept or not: this is for the size of the file. Call it once a minute.
    ///
    /// # Errors
    /// [`StoreError`] like any other operation; the deadline holds for each transaction.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        self.leases.forget_expired(self.clock.now_ms());
        let mut swept = 0;
        loop {
            let change = Change::Sweep {
                at_most: SWEPT_AT_ONCE,
            };
            let Changed::Swept(now) = self.change("sweep", change).await? else {
                return Err(failed("sweep", EngineFailure::Panicked));
            };
            swept += now;
            if now < SWEPT_AT_ONCE {
                return Ok(swept);
            }
        }
    }

    async fn read_in<T: Send + 'static>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&ReadTransaction, u64) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (file, clock) = (Arc::clone(&self.file), Arc::clone(&self.clock));
        let task = tokio::task::spawn_blocking(move || {
            file.with(|database| read(&database.begin_read()?, clock.now_ms()))
        });
        match tokio::time::timeout(self.deadline, task).await {
            Err(_) => Err(self.late(operation)),
            Ok(Err(_)) => Err(failed(operation, EngineFailure::Panicked)),
            Ok(Ok(result)) => result.map_err(|failure| failed(operation, failure)),
        }
    }

    async fn change(&self, operation: &'static str, change: Change) -> Result<Changed, StoreError> {
        match tokio::time::timeout(self.deadline, self.writer.change(change)).await {
            Err(_) => Err(self.late(operation)),
            Ok(answer) => answer.map_err(|failure| failed(operation, failure)),
        }
    }

    async fn outcome(&self, operation: &'static str, change: Change) -> Result<WriteOutcome, StoreError> {
        match self.change(operation, change).await? {
            Changed::WriteOutcome(outcome) => Ok(outcome),
            Changed::Set | Changed::Swept(_) => Err(failed(operation, EngineFailure::Panicked)),
        }
    }

    fn late(&self, operation: &'static str) -> StoreError {
        StoreError::Late {
            operation,
            deadline: self.deadline,
        }
    }
}

/// What a failure of this engine means, without naming the file; `None`: it is not of this engine.
pub(super) fn cause(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<&'static str> {
    source.downcast_ref::<EngineFailure>().map(EngineFailure::cause)
}

fn failed(operation: &'static str, failure: EngineFailure) -> StoreError {
    StoreError::Failed {
        operation,
        source: Box::new(failure),
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn engine(&self) -> &'static str {
        "embedded"
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let key = key.as_str().to_owned();
        self.read_in("read", move |transaction, now_ms| {
            tables::read_entry(transaction, &key, now_ms)
        })
        .await
    }

    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError> {
        let change = Change::Write {
            key: key.as_str().to_owned(),
            expected,
            value: value.to_vec(),
            lifetime_ms: lifetime.map(lifetime_ms),
        };
        self.outcome("write", change).await
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError> {
        let change = Change::Delete {
            key: key.as_str().to_owned(),
            expected,
        };
        self.outcome("delete", change).await
    }

    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let any = Key::new(kind, "");
        if after.is_some_and(|Cursor(last)| !last.starts_with(any.as_str())) {
            return Err(StoreError::Unexpected {
                key: any,
                what: "the cursor is not one of this store".to_owned(),
            });
        }
        let (kind, after) = (kind.to_owned(), after.cloned());
        self.read_in("list", move |transaction, now_ms| {
            tables::list_entries(transaction, &kind, after.as_ref(), limit, now_ms)
        })
        .await
    }

    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError> {
        let change = Change::AddMember {
            set: set.as_str().to_owned(),
            member: member.to_owned(),
            lifetime_ms: lifetime_ms(lifetime),
        };
        self.change("add_member", change).await.map(drop)
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        let change = Change::RemoveMember {
            set: set.as_str().to_owned(),
            member: member.to_owned(),
        };
        self.change("remove_member", change).await.map(drop)
    }

    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError> {
        let set = set.as_str().to_owned();
        self.read_in("members", move |transaction, now_ms| {
            tables::read_members(transaction, &set, now_ms)
        })
        .await
    }

    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        Ok(self
            .leases
            .acquire(name, owner, lifetime_ms(lifetime), self.clock.now_ms()))
    }

    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError> {
        Ok(self.leases.release(name, owner, self.clock.now_ms()))
    }

    /// One line for ever: a commit is on the disk before it is answered. A file that somebody replaces by an older copy
    /// is not noticed.
    async fn lineage(&self, _key: &Key) -> Result<Option<Lineage>, StoreError> {
        Ok(Some(Lineage("embedded".to_owned())))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read_in("ping", |_, _| Ok(())).await
    }
}
