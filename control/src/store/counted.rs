//! A store whose failures are counted: every engine's, in one place.

use std::time::Duration;

use async_trait::async_trait;

use super::{Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, Outcome, Store, StoreError};
use crate::metrics::Metrics;
use std::sync::Arc;

/// Passes every operation on and counts those without an answer in `tokenward_store_errors_total`.
#[derive(Debug)]
pub struct CountedStore {
    store: Arc<dyn Store>,
    metrics: Metrics,
}

impl CountedStore {
    /// Watches `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    fn counted<T>(&self, operation: &'static str, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if answer.is_err() {
            self.metrics.store_error(operation);
        }
        answer
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
    ) -> Result<Outcome, StoreError> {
        self.counted("write", self.store.write(key, expected, value, lifetime).await)
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<Outcome, StoreError> {
        self.counted("delete", self.store.delete(key, expected).await)
    }

    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError> {
        self.counted("add_member", self.store.add_member(set, member, lifetime).await)
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        self.counted("remove_member", self.store.remove_member(set, member).await)
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
        self.counted(
            "acquire_lease",
            self.store.acquire_lease(name, owner, lifetime).await,
        )
    }

    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError> {
        self.counted("release_lease", self.store.release_lease(name, owner).await)
    }

    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError> {
        self.counted("lineage", self.store.lineage(key).await)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.counted("ping", self.store.ping().await)
    }
}
