//! Leases in the store: one holder among all replicas.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::backoff::Backoff;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::digest;
use crate::store::{Key, LeaseAnswer, LeaseOwner, Store, StoreError};

/// Waits between two attempts to take or release a lease.
const WAITS: Backoff = Backoff::new(50, 500);
/// A lease is renewed this many times in its lifetime: one lost renewal loses nothing.
const RENEWALS: u32 = 3;

/// The waits of a task that found a lease held by another owner. Pure: the caller lets the time pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LeaseQueue {
    waits: u32,
    waited: Duration,
}

impl LeaseQueue {
    /// The wait before the next attempt: from 50 ms, doubling, up to 500 ms.
    pub fn next_wait(&mut self) -> Duration {
        let wait = WAITS.wait(self.waits);
        self.waits = self.waits.saturating_add(1);
        self.waited = self.waited.saturating_add(wait);
        wait
    }

    /// All waits so far together.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// A new owner: 128 random bits.
///
/// # Errors
/// [`StoreError::Failed`] when the system has no randomness; a guessable owner could release another's lease.
pub fn new_owner() -> Result<LeaseOwner, StoreError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Failed {
        operation: "new lease owner",
        source: error.to_string().into(),
    })?;
    Ok(LeaseOwner(digest::hex(&bytes)))
}

/// A lease that is held, and renewed as long as this lives. Give it back with [`HeldLease::release`]; otherwise it expires
/// by itself. Its lifetime is short, so that a replica that died holds nobody up for long, and says nothing about how
/// long the work may take.
#[derive(Debug)]
pub struct HeldLease {
    store: Arc<dyn Store>,
    name: Key,
    owner: LeaseOwner,
    lifetime: Duration,
    renewing: Renewal,
}

/// The task that renews; it ends with this.
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

/// Tries to take the lease `name` once.
///
/// # Errors
/// [`StoreError`] when the store does not answer: nobody may go on without it.
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
            // It may have been taken all the same.
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

/// Renews until told to stop, or until somebody else holds the lease.
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
    /// Who holds it: new for every acquisition.
    #[must_use]
    pub fn owner(&self) -> &LeaseOwner {
        &self.owner
    }

    /// Whether the lease is still ours; renews it. An unanswered question counts as lost.
    pub async fn confirm(&self) -> bool {
        matches!(
            self.store
                .acquire_lease(&self.name, &self.owner, self.lifetime)
                .await,
            Ok(LeaseAnswer::Acquired)
        )
    }

    /// Gives it back; when the store does not answer, as soon as it does.
    pub async fn release(mut self) {
        // A renewal that is under way would take the lease again after it was given back.
        if let Some(stop) = self.renewing.stop.take() {
            let _ = stop.send(());
        }
        let _ = (&mut self.renewing.task).await;
        if let Err(error) = self.store.release_lease(&self.name, &self.owner).await {
            tracing::debug!(%error, "a lease could not be given back yet");
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

/// Tries until the lease expires by itself: nobody else may work meanwhile.
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
