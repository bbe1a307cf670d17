//! Leases in the store: one holder among all replicas.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::digest;
use crate::store::{Key, LeaseAnswer, LeaseOwner, Store, StoreError};

/// First wait of a loser; doubles up to [`LONGEST_WAIT`].
pub const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Longest wait of a loser between two looks.
pub const LONGEST_WAIT: Duration = Duration::from_millis(500);

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

/// A lease that is held. Give it back with [`Held::release`]; otherwise it expires by itself.
#[derive(Debug)]
pub struct Held {
    store: Arc<dyn Store>,
    name: Key,
    owner: LeaseOwner,
    lifetime: Duration,
}

/// Tries to take the lease `name` once.
///
/// # Errors
/// [`StoreError`] when the store does not answer: nobody may go on without it.
pub async fn try_take(
    store: &Arc<dyn Store>,
    name: &Key,
    lifetime: Duration,
) -> Result<Option<Held>, StoreError> {
    let held = Held {
        store: Arc::clone(store),
        name: name.clone(),
        owner: new_owner()?,
        lifetime,
    };
    match store.acquire_lease(name, &held.owner, lifetime).await {
        Ok(LeaseAnswer::Acquired) => Ok(Some(held)),
        Ok(LeaseAnswer::Held { .. }) => Ok(None),
        Err(error) => {
            // It may have been taken all the same.
            held.release_later();
            Err(error)
        }
    }
}

impl Held {
    /// Who holds it: new for every acquisition.
    #[must_use]
    pub fn owner(&self) -> &LeaseOwner {
        &self.owner
    }

    /// Whether the lease is still ours; renews it. An unanswered question counts as lost.
    pub async fn still_ours(&self) -> bool {
        matches!(
            self.store
                .acquire_lease(&self.name, &self.owner, self.lifetime)
                .await,
            Ok(LeaseAnswer::Acquired)
        )
    }

    /// Gives it back; when the store does not answer, as soon as it does.
    pub async fn release(self) {
        if let Err(error) = self.store.release_lease(&self.name, &self.owner).await {
            tracing::debug!(%error, "a lease could not be given back yet");
            self.release_later();
        }
    }

    /// Tries until it expires by itself: a lease outlives most outages, and nobody else may work meanwhile.
    fn release_later(self) {
        let until = Instant::now() + self.lifetime;
        tokio::spawn(async move {
            let mut wait = FIRST_WAIT;
            while Instant::now() < until {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
                if self.store.release_lease(&self.name, &self.owner).await.is_ok() {
                    return;
                }
            }
        });
    }
}
