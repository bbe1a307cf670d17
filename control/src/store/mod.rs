//! Storage of sessions, grants, exchanged tokens and former keys: one trait, two engines.
//!
//! The trait is a small key-value store with compare-and-set on a revision. One layer above the engines therefore decides
//! everything that must never be lost or duplicated (a rotated refresh token above all), and an engine is correct if it
//! passes the conformance suite (`tests/service/store_conformance.rs`).
//!
//! Values are opaque here and tokens in them are already sealed ([`crate::record::keyring`]). Every operation touches one
//! key, so any key can live on any node of a Valkey Cluster. Every operation has a deadline. An outage is an error that
//! callers can distinguish from an absent key: it never causes a sign-out or a silent fallback to memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub mod counted;
pub mod embedded;
mod error;
mod key;
mod lifetime;
pub mod readiness;
pub mod recent;
pub mod self_test;
mod stream;
pub mod valkey;

pub use error::{NotReady, StoreError};
pub use key::Key;
pub use recent::Recent;
pub use stream::{StreamEntry, StreamFrom, StreamLimit};

/// Increases with every write of one key, not always by one. Neither engine assigns a key the same revision twice, even
/// after the key was deleted or has expired: a caller with an old revision can never overwrite a later value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A value with the revision at which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The revision for a later compare-and-set.
    pub revision: Revision,
    /// The value as written.
    pub value: Vec<u8>,
}

/// Identifies the uninterrupted history of writes that a key's data belongs to: while it stays the same, no write has been
/// lost. Never reused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lineage(pub String);

/// The position at which a listing or a page of a stream continues: opaque, and valid only in the store that returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// One page of [`Store::list`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys of records, in no particular order.
    pub keys: Vec<Key>,
    /// The start of the next page; `None` after the last one.
    pub next: Option<Cursor>,
}

/// The precondition of a write or a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The key does not exist (or has expired).
    Absent,
    /// The key exists at exactly this revision.
    At(Revision),
    /// No precondition: the last writer wins.
    Any,
}

/// The outcome of a write or a deletion. Neither variant is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Applied, with the new revision of the written key or the revision of the deleted one.
    Done(Revision),
    /// The precondition did not hold and nothing changed; the current entry.
    Conflict(Option<Entry>),
}

/// The holder of a lease: 128 random bits as hex, new for every acquisition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOwner(pub String);

/// The outcome of an attempt to acquire a lease. `Held` is not an error: another owner is working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// The caller holds the lease for the requested lifetime, by the store's clock.
    Acquired,
    /// Another owner holds it.
    Held {
        /// Time until it expires, unless its owner renews it.
        remaining: Duration,
    },
}

/// A store engine. Cheap to share; all methods may be called concurrently.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// `embedded` or `valkey`, for logs and metrics.
    fn engine(&self) -> &'static str;

    /// The value of `key`, unless it is absent or expired.
    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// The same; the engine may hold the result for [`Store::recent`].
    async fn read_and_hold(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.read(key).await
    }

    /// What [`Store::read_and_hold`] returned for `key` a moment ago, if no change since has been acknowledged to its writer for
    /// [`Store::recent_lifetime`]. Only to hand out what is stored: no write, refresh or refusal may follow from it. `None`: read
    /// the store.
    fn recent(&self, _key: &Key) -> Option<Arc<Recent>> {
        None
    }

    /// How long after a change was acknowledged a process may still find the value of before in [`Store::recent`]; zero if none
    /// does.
    fn recent_lifetime(&self) -> Duration {
        Duration::ZERO
    }

    /// Bytes that are held for [`Store::recent`].
    fn recent_bytes(&self) -> usize {
        0
    }

    /// Writes `value` if `expected` holds. The value expires after `lifetime`, by the store's clock; without one, never.
    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError>;

    /// Deletes `key` if `expected` holds. Deleting an absent key, with [`Expected::Any`] or [`Expected::Absent`], returns
    /// `Done(Revision(0))`.
    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError>;

    /// One page of the keys of all records of `kind`, starting after `after`, or at the beginning. Sets and leases are not
    /// records.
    ///
    /// `limit` bounds the work for a page, not its size: the engine examines about that many keys, so a page can hold fewer
    /// keys or none, and a listing ends only when [`Page::next`] is `None`. A record that exists from the first page to the
    /// last is listed at least once. One that is written or deleted during the listing may be listed or not, and a Cluster
    /// that moves slots during it can hide records: use a listing for display, not for decisions. With Valkey it needs
    /// `+scan` in the user's ACL.
    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError>;

    /// Adds `member` to the set `set` and extends the lifetime of the whole set to at least `lifetime` from now.
    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError>;

    /// Removes `member` from the set `set`. Removing an absent member is not an error.
    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError>;

    /// The members of the set `set`, in no particular order; empty if the set does not exist.
    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError>;

    /// Appends `values` to the stream `stream` in this order, and removes what is beyond `limit`. With Valkey it needs
    /// `+xadd` in the user's ACL.
    async fn append(&self, stream: &Key, values: &[Vec<u8>], limit: StreamLimit) -> Result<(), StoreError>;

    /// At most `limit` entries of the stream `stream`; none if it does not exist. With Valkey it needs `+xrange` and
    /// `+xrevrange` in the user's ACL.
    async fn entries(
        &self,
        stream: &Key,
        from: StreamFrom<'_>,
        limit: usize,
    ) -> Result<Vec<StreamEntry>, StoreError>;

    /// Acquires the lease `name` for `lifetime`, unless another owner holds it. Its owner renews it by acquiring it again.
    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError>;

    /// Releases the lease if `owner` still holds it; `false` if `owner` lost it earlier.
    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError>;

    /// The [`Lineage`] of `key`: a different one after every event that may have lost writes (a restart, a failover). `None`
    /// if the engine cannot determine it.
    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError>;

    /// Whether the store answers. [`self_test::run`] also tests whether it accepts writes.
    async fn ping(&self) -> Result<(), StoreError>;
}
