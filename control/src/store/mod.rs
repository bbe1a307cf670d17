//! Where sessions, grants, exchanged tokens and past keys are kept: one trait, two engines.
//!
//! The trait is a small key-value store with compare-and-set on a revision, so that everything which must never
//! be lost or doubled (a rotated refresh token above all) is decided in one place above the engines, and an
//! engine is right when it passes the conformance suite (`tests/service/store_conformance.rs`).
//!
//! Values are opaque here and tokens in them are already sealed ([`crate::record::keyring`]). Every operation touches one
//! key, so any key can live on any node of a Valkey Cluster. Every operation has a deadline, and an outage is an
//! error that the caller can tell from "not there": never a sign-out, never a silent switch to memory.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub mod counted;
pub mod embedded;
mod lifetime;
pub mod readiness;
pub mod trial;
pub mod valkey;

/// A key: a kind and a name, `grant:ab12…`. Names are digests or configured names, never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of `name` among the records of `kind`.
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Self {
        Self(format!("{kind}:{name}"))
    }

    /// `kind:name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Grows with every write of one key, not always by one. Neither engine gives a key the same revision twice, even
/// after it was deleted or has expired: who holds an old revision can never overwrite what came after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value as read, with the revision to compare against when it is written back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What a later compare-and-set must name.
    pub revision: Revision,
    /// The bytes as they were written.
    pub value: Vec<u8>,
}

/// Names the unbroken line of writes that a key's data belongs to: while it stays the same, nothing that was written
/// has been lost. Never used twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lineage(pub String);

/// Where a listing continues: opaque, and only valid in the store that returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Part of a listing of [`Store::list`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys of records, in no order.
    pub keys: Vec<Key>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Cursor>,
}

/// What must hold for a write or a deletion to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The key does not exist (or has expired).
    Absent,
    /// The key exists at exactly this revision.
    At(Revision),
    /// Anything: last writer wins.
    Any,
}

/// How a write or deletion ended. Both are answers, not errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It happened; for a write, the key's new revision, for a deletion, the one that was deleted.
    Done(Revision),
    /// The expectation did not hold and nothing changed; what is there instead.
    Conflict(Option<Entry>),
}

/// Who holds a lease: 128 random bits as hex, new for every acquisition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOwner(pub String);

/// The answer to an attempt to take a lease. "Held" is not an error: someone else is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// The lease is ours for the lifetime that was asked for, by the store's clock.
    Acquired,
    /// Somebody holds it for at most this long still.
    Held {
        /// Time until it expires by itself.
        remaining: Duration,
    },
}

/// Why the store could not answer. The effect of a write that ended so is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer within the deadline of the operation.
    #[error("the store did not answer {operation} within {deadline:?}")]
    Late {
        /// What was tried.
        operation: &'static str,
        /// The configured deadline.
        deadline: Duration,
    },
    /// The store is unreachable, refused us or failed.
    #[error("the store failed at {operation}: {source}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// The engine's own error. Engines make sure that it names no value and no password.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store answered something that this version does not understand.
    #[error("the store holds something unexpected at {key}: {what}")]
    Unexpected {
        /// Where.
        key: Key,
        /// What is wrong with it.
        what: String,
    },
}

impl StoreError {
    /// What stands in the way, in words that may leave the process: they name no host, no path and no value. The engine's
    /// own words ([`fmt::Display`]) are for the log.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Late { deadline, .. } => format!("it did not answer within {} ms", deadline.as_millis()),
            Self::Unexpected { .. } => "it answers something unexpected".to_owned(),
            Self::Failed { source, .. } => valkey::cause(source.as_ref())
                .or_else(|| embedded::cause(source.as_ref()).map(str::to_owned))
                .unwrap_or_else(|| "it cannot be reached, or refuses the operation".to_owned()),
        }
    }

    /// What an operator does about it.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Late { .. } => "see how busy the store is, bring it nearer, or lengthen store.deadline",
            Self::Unexpected { .. } => "let nothing else write under store.valkey.key_prefix",
            Self::Failed { source, .. } => {
                valkey::cure(source.as_ref()).unwrap_or("see the store's own log, its disk and its memory")
            }
        }
    }
}

/// A store engine. Cheap to share; all methods may be called concurrently.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// `embedded` or `valkey`, for logs and metrics.
    fn engine(&self) -> &'static str;

    /// The value of `key`, unless it is absent or expired.
    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Writes `value` if `expected` holds; it expires after `lifetime` (by the store's clock), or never.
    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError>;

    /// Deletes `key` if `expected` holds. Deleting what is absent, with [`Expected::Any`] or [`Expected::Absent`], is
    /// `Done(Revision(0))`.
    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError>;

    /// One page of the keys of all records of `kind`, from `after` on or from the beginning. Sets and leases are not records.
    ///
    /// `limit` bounds the work for a page, not its size: the engine examines about that many keys, so that a page can hold
    /// fewer keys or none, and listing ends only where [`Page::next`] is `None`. A record that exists from the first page to
    /// the last is listed at least once; one that is written or deleted meanwhile may be listed or not, and a Cluster that
    /// moves slots meanwhile can hide records. So a listing is for people, not for decisions. A Valkey user needs `+scan` for it.
    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;

    /// Adds `member` to the set `set` and lets the whole set live at least `lifetime` from now.
    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError>;

    /// Removes `member` from the set `set`; removing what is not there is no error.
    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError>;

    /// The members of the set `set`, in no order; empty when there is none.
    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError>;

    /// Takes the lease `name` for `lifetime`, unless another owner holds it. The same owner may renew.
    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError>;

    /// Gives the lease back, if `owner` still holds it; `false` when it was lost meanwhile.
    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError>;

    /// The line of writes that `key` belongs to now; another one after every event that may have lost writes (a restart,
    /// a failover). `None` where the engine cannot say.
    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError>;

    /// Whether the store answers at all. Whether it also takes writes: [`trial::run`].
    async fn ping(&self) -> Result<(), StoreError>;
}
