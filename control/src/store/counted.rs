//! A store whose failures are counted, and the last of them remembered: every engine's, in one place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::readiness::NotReady;
use super::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, Page, Store, StoreError, WriteOutcome,
};
use crate::observe::metrics::Metrics;

/// Passes every operation on and counts those without an answer in `tokenward_store_errors_total`.
#[derive(Debug)]
pub struct CountedStore {
    store: Arc<dyn Store>,
    metrics: Metrics,
    refused_change: Mutex<Option<(Instant, NotReady)>>,
}

impl CountedStore {
    /// Watches `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metrics: Metrics) -> Self {
        Self {
            store,
            metrics,
            refused_change: Mutex::default(),
        }
    }

    /// The last change that the store did not make, and when that was.
    pub(super) fn refused_change(&self) -> Option<(Instant, NotReady)> {
        self.remembered().clone()
    }

    fn remembered(&self) -> MutexGuard<'_, Option<(Instant, NotReady)>> {
        self.refused_change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted<T>(&self, operation: &'static str, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if answer.is_err() {
            self.metrics.store_error(operation);
        }
        answer
    }

    /// The same for an operation that changes something.
    fn changed<T>(&self, operation: &'static str, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        // A record that makes no sense is that record's fault, not the store's.
        if let Err(error @ (StoreError::Late { .. } | StoreError::Failed { .. })) = &answer {
            *self.remembered() = Some((Instant::now(), NotReady::of(error)));
        }
        self.counted(operation, answer)
    }
}

#[async_trait]
impl Store for CountedStore {
    fn engine(&self) -> &'static str {
        self.store.engine()
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.counted("read", self.store.read(key).await)
    }

    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError> {
        self.changed("write", self.store.write(key, expected, value, lifetime).await)
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError> {
        self.changed("delete", self.store.delete(key, expected).await)
    }

    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.counted("list", self.store.list(kind, after, limit).await)
    }

    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.changed("add_member", self.store.add_member(set, member, lifetime).await)
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        self.changed("remove_member", self.store.remove_member(set, member).await)
    }

    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError> {
        self.counted("members", self.store.members(set).await)
    }

    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        self.changed(
            "acquire_lease",
            self.store.acquire_lease(name, owner, lifetime).await,
        )
    }

    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError> {
        self.changed("release_lease", self.store.release_lease(name, owner).await)
    }

    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError> {
        self.counted("lineage", self.store.lineage(key).await)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.counted("ping", self.store.ping().await)
    }
}
