//! A wrapper of either engine that times operations, counts failed ones and stores the most recent failed write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, NotReady, Page, Recent, Store,
    StoreError, StreamEntry, StreamFrom, StreamLimit, WriteOutcome,
};
use crate::observe::metrics::Metrics;
use crate::observe::trace;

/// Forwards every operation to its engine; its duration and failure are in `tokenward_store_operation_seconds` and
/// `tokenward_store_errors_total`.
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

    /// Performs an operation in a span of its own, and records its duration and whether it failed.
    async fn measured<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let started = std::time::Instant::now();
        let result = work.instrument(trace::store(operation)).await;
        self.metrics
            .store_operation(operation, started.elapsed(), result.is_err());
        if let Err(error) = &result {
            *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(FailedOperation {
                at: Instant::now(),
                operation,
                cause: error.cause(),
            });
        }
        result
    }

    /// [`CountedStore::measured`] for an operation that writes: its failure is also remembered for the readiness check.
    async fn measured_write<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let result = self.measured(operation, work).await;
        // A record that cannot be decoded is a fault of that record, not of the store.
        if let Err(error @ (StoreError::Late { .. } | StoreError::Failed { .. })) = &result {
            *self.lock() = Some((Instant::now(), NotReady::from(error)));
        }
        result
    }
}

#[async_trait]
impl Store for CountedStore {
    fn engine(&self) -> &'static str {
        self.store.engine()
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.measured("read", self.store.read(key)).await
    }

    async fn read_and_hold(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let read = self.measured("read", self.store.read_and_hold(key)).await;
        self.metrics.store_recent_bytes(self.store.recent_bytes());
        read
    }

    fn recent(&self, key: &Key) -> Option<Arc<Recent>> {
        let recent = self.store.recent(key)?;
        self.metrics.store_recent_read();
        Some(recent)
    }

    fn recent_lifetime(&self) -> Duration {
        self.store.recent_lifetime()
    }

    fn recent_bytes(&self) -> usize {
        self.store.recent_bytes()
    }

    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError> {
        self.measured_write("write", self.store.write(key, expected, value, lifetime))
            .await
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError> {
        self.measured_write("delete", self.store.delete(key, expected))
            .await
    }

    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.measured("list", self.store.list(kind, after, limit)).await
    }

    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.measured_write("add_member", self.store.add_member(set, member, lifetime))
            .await
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        self.measured_write("remove_member", self.store.remove_member(set, member))
            .await
    }

    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError> {
        self.measured("members", self.store.members(set)).await
    }

    /// Not a write that decides whether the store is ready: streams are best effort.
    async fn append(&self, stream: &Key, values: &[Vec<u8>], limit: StreamLimit) -> Result<(), StoreError> {
        self.measured("append", self.store.append(stream, values, limit))
            .await
    }

    async fn entries(
        &self,
        stream: &Key,
        from: StreamFrom<'_>,
        limit: usize,
    ) -> Result<Vec<StreamEntry>, StoreError> {
        self.measured("entries", self.store.entries(stream, from, limit))
            .await
    }

    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        self.measured_write("acquire_lease", self.store.acquire_lease(name, owner, lifetime))
            .await
    }

    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError> {
        self.measured_write("release_lease", self.store.release_lease(name, owner))
            .await
    }

    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError> {
        self.measured("lineage", self.store.lineage(key)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.measured("ping", self.store.ping()).await
    }
}
