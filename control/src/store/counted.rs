//! A wrapper of either engine that counts failed operations and stores the most recent failed write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, NotReady, Page, Store, StoreError,
    StreamEntry, StreamFrom, StreamLimit, WriteOutcome,
};
use crate::observe::metrics::Metrics;
use crate::observe::trace;

/// Forwards every operation to its engine and counts the failed ones in `tokenward_store_errors_total`.
#[derive(Debug)]
pub struct CountedStore {
    store: Arc<dyn Store>,
    metrics: Metrics,
    last_failed_write: Mutex<Option<(Instant, NotReady)>>,
    last_failure: Mutex<Option<FailedOperation>>,
}

/// The most recent operation that failed.
#[derive(Debug, Clone)]
pub struct FailedOperation {
    /// When.
    pub at: Instant,
    /// `read`, `write`, `list` …
    pub operation: &'static str,
    /// Why, without host names.
    pub cause: String,
}

impl CountedStore {
    /// Wraps `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metrics: Metrics) -> Self {
        Self {
            store,
            metrics,
            last_failed_write: Mutex::default(),
            last_failure: Mutex::default(),
        }
    }

    /// The time and the reason of the most recent write that failed.
    pub(super) fn last_failed_write(&self) -> Option<(Instant, NotReady)> {
        self.lock().clone()
    }

    /// The most recent operation that failed; `None`: none has.
    pub(super) fn last_failure(&self) -> Option<FailedOperation> {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, NotReady)>> {
        self.last_failed_write
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn count_read<T>(&self, operation: &'static str, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.metrics.store_error(operation);
            *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(FailedOperation {
                at: Instant::now(),
                operation,
                cause: error.cause(),
            });
        }
        result
    }

    fn count_write<T>(
        &self,
        operation: &'static str,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A record that cannot be decoded is a fault of that record, not of the store.
        if let Err(error @ (StoreError::Late { .. } | StoreError::Failed { .. })) = &result {
            *self.lock() = Some((Instant::now(), NotReady::from(error)));
        }
        self.count_read(operation, result)
    }
}

#[async_trait]
impl Store for CountedStore {
    fn engine(&self) -> &'static str {
        self.store.engine()
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.count_read(
            "read",
            self.store.read(key).instrument(trace::store("read")).await,
        )
    }

    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError> {
        self.count_write(
            "write",
            self.store
                .write(key, expected, value, lifetime)
                .instrument(trace::store("write"))
                .await,
        )
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError> {
        self.count_write(
            "delete",
            self.store
                .delete(key, expected)
                .instrument(trace::store("delete"))
                .await,
        )
    }

    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.count_read(
            "list",
            self.store
                .list(kind, after, limit)
                .instrument(trace::store("list"))
                .await,
        )
    }

    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.count_write(
            "add_member",
            self.store
                .add_member(set, member, lifetime)
                .instrument(trace::store("add_member"))
                .await,
        )
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        self.count_write(
            "remove_member",
            self.store
                .remove_member(set, member)
                .instrument(trace::store("remove_member"))
                .await,
        )
    }

    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError> {
        self.count_read(
            "members",
            self.store.members(set).instrument(trace::store("members")).await,
        )
    }

    /// Not a write that decides whether the store is ready: streams are best effort.
    async fn append(&self, stream: &Key, values: &[Vec<u8>], limit: StreamLimit) -> Result<(), StoreError> {
        self.count_read(
            "append",
            self.store
                .append(stream, values, limit)
                .instrument(trace::store("append"))
                .await,
        )
    }

    async fn entries(
        &self,
        stream: &Key,
        from: StreamFrom<'_>,
        limit: usize,
    ) -> Result<Vec<StreamEntry>, StoreError> {
        self.count_read(
            "entries",
            self.store
                .entries(stream, from, limit)
                .instrument(trace::store("entries"))
                .await,
        )
    }

    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        self.count_write(
            "acquire_lease",
            self.store
                .acquire_lease(name, owner, lifetime)
                .instrument(trace::store("acquire_lease"))
                .await,
        )
    }

    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError> {
        self.count_write(
            "release_lease",
            self.store
                .release_lease(name, owner)
                .instrument(trace::store("release_lease"))
                .await,
        )
    }

    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError> {
        self.count_read(
            "lineage",
            self.store.lineage(key).instrument(trace::store("lineage")).await,
        )
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.count_read("ping", self.store.ping().instrument(trace::store("ping")).await)
    }
}
