//! The embedded engine: one redb file, one process. The default, and sufficient for a single replica.
//!
//! Reads run on tokio's blocking threads against a snapshot; writes go through the single [`writer`], which commits
//! durably before it answers. Revisions come from one counter of the file, so a key that was deleted and written
//! again never repeats a revision. [`file`] describes how disk errors are handled.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableDatabase};

use crate::clock::Clock;

use super::error::EngineError;
use super::lifetime::lifetime_ms;
use super::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, Page, Store, StoreError, StreamEntry,
    StreamFrom, StreamLimit, WriteOutcome,
};

mod change;
mod file;
mod leases;
mod open;
mod streams;
mod tables;
mod writer;

pub use open::OpenError;

use change::{Change, ChangeOutcome};
use file::{FileError, OpenFile};
use leases::Leases;
use writer::Writer;

/// How many expired entries one transaction of [`EmbeddedStore::sweep`] removes; other changes run in between.
const SWEEP_BATCH: usize = 512;

/// A store in one file, which this process locks. Dropping it closes the file as soon as the operations in progress have
/// ended; [`EmbeddedStore::close`] also waits for them.
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
    /// Opens `path`, or creates it if it is missing; reads the whole file once to verify its checksums.
    /// `deadline` bounds every later operation, not the opening.
    ///
    /// # Errors
    /// [`OpenError`], which contains a hint for the operator.
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
                what: "its structure is invalid".to_owned(),
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

    /// Whether [`EmbeddedStore::open`] would find a file at `path`, or a folder to create one in. Takes no lock and leaves no
    /// file behind. Blocking.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn check(path: &Path) -> Result<(), OpenError> {
        open::check(path)
    }

    /// Waits for the operations in progress and closes the file, so that it can be opened again at once. Every later
    /// operation fails.
    ///
    /// # Errors
    /// [`StoreError::Late`] if an operation has not ended within the deadline; the file is closed once it has.
    pub async fn close(&self) -> Result<(), StoreError> {
        let file = Arc::clone(&self.file);
        let closing = tokio::task::spawn_blocking(move || file.close());
        match tokio::time::timeout(self.deadline, closing).await {
            Err(_) => Err(self.late("close")),
            Ok(Err(_)) => Err(failed("close", &FileError::Panicked)),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Removes all expired entries and sets, a few hundred per transaction, and returns how many.
    /// Expired values are never returned, swept or not: a sweep only limits the size of the file. Call it once a minute.
    ///
    /// # Errors
    /// [`StoreError`] like any other operation; the deadline applies to each transaction.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        self.leases.remove_expired(self.clock.now_ms());
        let mut swept = 0;
        loop {
            let change = Change::Sweep { at_most: SWEEP_BATCH };
            let ChangeOutcome::Swept(now) = self.change("sweep", change).await? else {
                return Err(failed("sweep", &FileError::Panicked));
            };
            swept += now;
            if now < SWEEP_BATCH {
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
            Ok(Err(_)) => Err(failed(operation, &FileError::Panicked)),
            Ok(Ok(result)) => result.map_err(|error| failed(operation, &error)),
        }
    }

    async fn change(&self, operation: &'static str, change: Change) -> Result<ChangeOutcome, StoreError> {
        match tokio::time::timeout(self.deadline, self.writer.change(change)).await {
            Err(_) => Err(self.late(operation)),
            Ok(answer) => answer.map_err(|error| failed(operation, &error)),
        }
    }

    async fn outcome(&self, operation: &'static str, change: Change) -> Result<WriteOutcome, StoreError> {
        match self.change(operation, change).await? {
            ChangeOutcome::Write(outcome) => Ok(outcome),
            ChangeOutcome::Set | ChangeOutcome::Appended | ChangeOutcome::Swept(_) => {
                Err(failed(operation, &FileError::Panicked))
            }
        }
    }

    fn late(&self, operation: &'static str) -> StoreError {
        StoreError::Late {
            operation,
            deadline: self.deadline,
        }
    }
}

fn failed(operation: &'static str, error: &FileError) -> StoreError {
    StoreError::Failed {
        operation,
        source: Box::new(EngineError {
            message: error.to_string(),
            cause: error.cause().into(),
            hint: None,
            is_denied: false,
        }),
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

    async fn append(&self, stream: &Key, values: &[Vec<u8>], limit: StreamLimit) -> Result<(), StoreError> {
        let change = Change::Append {
            stream: stream.as_str().to_owned(),
            values: values.to_vec(),
            most: limit.entries,
            lifetime_ms: lifetime_ms(limit.lifetime),
        };
        self.change("append", change).await.map(drop)
    }

    async fn entries(
        &self,
        stream: &Key,
        from: StreamFrom<'_>,
        limit: usize,
    ) -> Result<Vec<StreamEntry>, StoreError> {
        let range = streams::Range::of(from).ok_or_else(|| StoreError::Unexpected {
            key: stream.clone(),
            what: "the cursor is not one of this store".to_owned(),
        })?;
        let stream = stream.as_str().to_owned();
        self.read_in("entries", move |transaction, now_ms| {
            streams::read(transaction, &stream, range, limit, now_ms)
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

    /// Always the same: a commit is on disk before it is acknowledged. A file that an operator replaces by an older copy is
    /// not detected.
    async fn lineage(&self, _key: &Key) -> Result<Option<Lineage>, StoreError> {
        Ok(Some(Lineage("embedded".to_owned())))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read_in("ping", |_, _| Ok(())).await
    }
}
