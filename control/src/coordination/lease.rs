//! Leases in the store: one holder among all replicas.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::backoff::Backoff;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::digest;
use crate::store::{Key, LeaseAnswer, LeaseOwner, Store, StoreError};

/// Waits between two attempts to acquire or release a lease.
const WAITS: Backoff = Backoff::new(50, 500);
/// Renewals in a lease's lifetime: a single lost renewal does not lose the lease.
const RENEWALS: u32 = 3;

/// The waits of a task that found a lease held by another owner. Pure: the caller sleeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LeaseQueue {
    waits: u32,
    waited: Duration,
}

impl LeaseQueue {
    /// The wait before the next attempt: 50 ms, doubling, up to 500 ms.
    pub fn next_wait(&mut self) -> Duration {
        let wait = WAITS.wait(self.waits);
        self.waits = self.waits.saturating_add(1);
        self.waited = self.waited.saturating_add(wait);
        wait
    }

    /// The sum of all waits so far.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// A new owner: 128 random bits.
///
/// # Errors
/// [`StoreError::Failed`] if the system has no randomness; a guessable owner could release another owner's lease.
pub fn new_owner() -> Result<LeaseOwner, StoreError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Failed {
        operation: "new lease owner",
        source: error.to_string().into(),
    })?;
    Ok(LeaseOwner(digest::hex(&bytes)))
}

/// An acquired lease, renewed until this is dropped. [`HeldLease::release`] releases it; otherwise it expires. Its
/// lifetime is short, so that a dead replica blocks the others only briefly, and does not limit how long the work may
/// take.
#[derive(Debug)]
pub struct HeldLease {
    store: Arc<dyn Store>,
    name: Key,
    owner: LeaseOwner,
    lifetime: Duration,
    renewing: Renewal,
}

/// The renewal task; aborted on drop.
#[derive(Debug)]
struct Renewal {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One attempt to acquire the lease `name`; `None` if another owner holds it.
///
/// # Errors
/// [`StoreError`] if the store does not answer: the work must not start without a lease.
pub async fn try_acquire(
    store: &Arc<dyn Store>,
    name: &Key,
    lifetime: Duration,
) -> Result<Option<HeldLease>, StoreError> {
    let owner = new_owner()?;
    match store.acquire_lease(name, &owner, lifetime).await {
        Ok(LeaseAnswer::Acquired) => {
            let (stop, stopped) = oneshot::channel();
            let renewal = renew(Arc::clone(store), name.clone(), owner.clone(), lifetime, stopped);
            Ok(Some(HeldLease {
                store: Arc::clone(store),
                name: name.clone(),
                owner,
                lifetime,
                renewing: Renewal {
                    stop: Some(stop),
                    task: tokio::spawn(renewal),
                },
            }))
        }
        Ok(LeaseAnswer::Held { .. }) => Ok(None),
        Err(error) => {
            // The acquisition may have taken effect without an answer.
            tokio::spawn(release_with_retries(
                Arc::clone(store),
                name.clone(),
                owner,
                lifetime,
            ));
            Err(error)
        }
    }
}

/// Renews until stopped, or until another owner holds the lease.
async fn renew(
    store: Arc<dyn Store>,
    name: Key,
    owner: LeaseOwner,
    lifetime: Duration,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        if tokio::time::timeout(lifetime / RENEWALS, &mut stopped)
            .await
            .is_ok()
        {
            return;
        }
        match store.acquire_lease(&name, &owner, lifetime).await {
            Ok(LeaseAnswer::Held { .. }) => return,
            Ok(LeaseAnswer::Acquired) => {}
            Err(error) => tracing::debug!(%error, "a lease could not be renewed"),
        }
    }
}

impl HeldLease {
    /// The owner under which it is held: new for every acquisition.
    #[must_use]
    pub fn owner(&self) -> &LeaseOwner {
        &self.owner
    }

    /// Renews the lease and returns whether this owner still holds it. No answer counts as lost.
    pub async fn confirm(&self) -> bool {
        matches!(
            self.store
                .acquire_lease(&self.name, &self.owner, self.lifetime)
                .await,
            Ok(LeaseAnswer::Acquired)
        )
    }

    /// Releases the lease; if the store does not answer, retries in the background.
    pub async fn release(mut self) {
        // A renewal in progress would acquire the lease again after its release.
        if let Some(stop) = self.renewing.stop.take() {
            let _ = stop.send(());
        }
        let _ = (&mut self.renewing.task).await;
        if let Err(error) = self.store.release_lease(&self.name, &self.owner).await {
            tracing::debug!(%error, "a lease could not be released yet");
            let Self {
                store,
                name,
                owner,
                lifetime,
                ..
            } = self;
            tokio::spawn(release_with_retries(store, name, owner, lifetime));
        }
    }
}

/// Retries until the lease expires by itself: until then no other owner can work.
async fn release_with_retries(store: Arc<dyn Store>, name: Key, owner: LeaseOwner, lifetime: Duration) {
    let until = Instant::now() + lifetime;
    let mut queue = LeaseQueue::default();
    while Instant::now() < until {
        tokio::time::sleep(queue.next_wait()).await;
        if store.release_lease(&name, &owner).await.is_ok() {
            return;
        }
    }
}
