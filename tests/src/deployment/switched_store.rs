//! A store that a test can switch off, hold and watch.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokenward_control::store::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, Page, Recent, Store, StoreError,
    StreamEntry, StreamFrom, StreamLimit, WriteOutcome,
};
use tokio::sync::watch;

/// While off, every operation fails and nothing is done.
#[derive(Debug)]
pub struct SwitchedStore {
    store: Arc<dyn Store>,
    off: AtomicBool,
    broken: Mutex<Option<&'static str>>,
    answers_to_lose: AtomicUsize,
    failures: watch::Sender<usize>,
    held: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
    grant_reads: AtomicUsize,
}

impl SwitchedStore {
    /// Passes everything on to `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            off: AtomicBool::new(false),
            broken: Mutex::new(None),
            answers_to_lose: AtomicUsize::new(0),
            failures: watch::Sender::new(0),
            held: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
            grant_reads: AtomicUsize::new(0),
        }
    }

    /// Switches it off or on.
    pub fn set_off(&self, off: bool) {
        self.off.store(off, Ordering::SeqCst);
    }

    /// While held, every operation waits.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Returns when `count` operations have been held since the start.
    pub async fn wait_for_held(&self, count: usize) {
        let _ = self.waiting.subscribe().wait_for(|held| *held >= count).await;
    }

    /// Counts held operations from zero again.
    pub fn forget_held(&self) {
        self.waiting.send_replace(0);
    }

    /// How often a grant's record has been read since the start.
    pub fn grant_reads(&self) -> usize {
        self.grant_reads.load(Ordering::SeqCst)
    }

    /// Only this operation fails, or none.
    pub fn set_broken(&self, operation: Option<&'static str>) {
        *self.broken.lock().expect("no panic while it is held") = operation;
    }

    /// The next `count` writes are done, and their answers lost.
    pub fn lose_answers(&self, count: usize) {
        self.answers_to_lose.store(count, Ordering::SeqCst);
    }

    fn loses_this_answer(&self) -> bool {
        let fewer = |count: usize| count.checked_sub(1);
        self.answers_to_lose
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
            .is_ok()
    }

    /// Returns when `count` operations have failed since the start.
    pub async fn wait_for_failures(&self, count: usize) {
        let _ = self
            .failures
            .subscribe()
            .wait_for(|failures| *failures >= count)
            .await;
    }

    /// How many operations have failed since the start.
    pub fn failures(&self) -> usize {
        *self.failures.borrow()
    }

    /// For what control records on the side, at times of its own: it is neither held nor counted, and loses no answer.
    fn pass_uncounted(&self, operation: &'static str) -> Result<(), StoreError> {
        let broken = *self.broken.lock().expect("no panic while it is held");
        if self.off.load(Ordering::SeqCst) || broken == Some(operation) {
            return Err(StoreError::Failed {
                operation,
                source: "switched off".into(),
            });
        }
        Ok(())
    }

    async fn pass_read(&self, key: &Key) -> Result<(), StoreError> {
        self.pass("read").await?;
        let is_grant = key.as_str().starts_with("grant:");
        self.grant_reads
            .fetch_add(usize::from(is_grant), Ordering::SeqCst);
        Ok(())
    }

    async fn pass(&self, operation: &'static str) -> Result<(), StoreError> {
        let mut held = self.held.subscribe();
        if *held.borrow_and_update() {
            self.waiting.send_modify(|waiting| *waiting += 1);
            let _ = held.wait_for(|held| !*held).await;
        }
        let broken = *self.broken.lock().expect("no panic while it is held");
        if !self.off.load(Ordering::SeqCst) && broken != Some(operation) {
            return Ok(());
        }
        self.failures.send_modify(|failures| *failures += 1);
        Err(StoreError::Failed {
            operation,
            source: "switched off".into(),
        })
    }
}

/// Whether `key` is of the activity, which is recorded beside the requests.
fn is_activity(key: &Key) -> bool {
    key.as_str().starts_with("pair:") || key.as_str().starts_with("pairs:")
}

#[async_trait]
impl Store for SwitchedStore {
    fn engine(&self) -> &'static str {
        self.store.engine()
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.pass_read(key).await?;
        self.store.read(key).await
    }

    async fn read_and_hold(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.pass_read(key).await?;
        self.store.read_and_hold(key).await
    }

    /// Nothing while reads are held or fail: a test sees at once what a service sees a moment later.
    fn recent(&self, key: &Key) -> Option<Arc<Recent>> {
        let is_held = *self.held.borrow();
        if is_held || self.pass_uncounted("read").is_err() {
            return None;
        }
        self.store.recent(key)
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
        if is_activity(key) {
            self.pass_uncounted("write")?;
            return self.store.write(key, expected, value, lifetime).await;
        }
        self.pass("write").await?;
        let answer = self.store.write(key, expected, value, lifetime).await;
        if self.loses_this_answer() {
            let deadline = Duration::ZERO;
            return Err(StoreError::Late {
                operation: "write",
                deadline,
            });
        }
        answer
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError> {
        self.pass("delete").await?;
        self.store.delete(key, expected).await
    }

    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.pass("list").await?;
        self.store.list(kind, after, limit).await
    }

    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError> {
        if is_activity(set) {
            self.pass_uncounted("add_member")?;
        } else {
            self.pass("add_member").await?;
        }
        self.store.add_member(set, member, lifetime).await
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        self.pass("remove_member").await?;
        self.store.remove_member(set, member).await
    }

    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError> {
        self.pass("members").await?;
        self.store.members(set).await
    }

    async fn append(&self, stream: &Key, values: &[Vec<u8>], limit: StreamLimit) -> Result<(), StoreError> {
        self.pass_uncounted("append")?;
        self.store.append(stream, values, limit).await
    }

    async fn entries(
        &self,
        stream: &Key,
        from: StreamFrom<'_>,
        limit: usize,
    ) -> Result<Vec<StreamEntry>, StoreError> {
        self.pass("entries").await?;
        self.store.entries(stream, from, limit).await
    }

    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        self.pass("acquire_lease").await?;
        self.store.acquire_lease(name, owner, lifetime).await
    }

    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError> {
        self.pass("release_lease").await?;
        self.store.release_lease(name, owner).await
    }

    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError> {
        self.pass("lineage").await?;
        self.store.lineage(key).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pass("ping").await?;
        self.store.ping().await
    }
}
