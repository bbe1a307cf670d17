//! The log of sign-outs in the store.
//!
//! Appending is one compare-and-set on the newest page. A page is left when it is full, or sealed because entries may have been
//! lost with a failover of the store; only then is the next one named in the head. So a reader of the head, and then of its
//! newest page, has every entry up to the last position. No position is given twice: page numbers grow, also across a store
//! that was wiped, because they are not below the time in seconds.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::filter_state::SignOut;

use super::page::page_of;
use super::pages::{Pages, SignOutBatch};
use super::queue::{Queue, SharedQueue};
use super::view::Views;
use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// Longest life of an ID token that an entry outlives.
const ID_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How much longer an entry is kept: clocks differ, and a filter may be away.
const KEPT_LONGER: Duration = Duration::from_secs(3600);
/// How far ahead of the time the number of a page can be.
const MOST_AHEAD_SECONDS: u64 = 24 * 3600;

/// A position that this log cannot have.
#[derive(Debug, thiserror::Error)]
pub enum NotOfThisLog {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It lies in a page that can exist in a day at the earliest.
    #[error("the log has no such position")]
    Position,
}

/// The log in a store. Cheap to clone; clones share what was read.
#[derive(Debug, Clone)]
pub struct SignOutLog {
    pages: Pages,
    queue: SharedQueue,
    views: Arc<Views>,
}

impl SignOutLog {
    /// The log in `store`, where an expired token still proves its subject for `grace`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, grace: Duration) -> Self {
        Self {
            pages: Pages {
                store,
                clock,
                lifetime: lifetime(grace),
            },
            queue: SharedQueue::default(),
            views: Arc::default(),
        }
    }

    /// The same log under another configuration's grace.
    #[must_use]
    pub fn with_grace(&self, grace: Duration) -> Self {
        let mut log = self.clone();
        log.pages.lifetime = lifetime(grace);
        log
    }

    /// How long an entry is kept.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.pages.lifetime
    }

    /// Appends `entries`, in this order. Every filter that asks from now on learns them.
    ///
    /// # Errors
    /// [`StoreError`]: some of them may have been appended; appending them again does no harm.
    pub async fn append(&self, entries: &[SignOut]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let (outcome, begins) = self.queue.add(entries);
        if begins {
            // A task of its own: it appends for others too, and a request can be dropped.
            let (queue, pages) = (Arc::clone(&self.queue), self.pages.clone());
            tokio::spawn(async move {
                queue
                    .serve(|entries| {
                        let pages = pages.clone();
                        async move { pages.append(&entries).await }
                    })
                    .await;
            });
        }
        Queue::outcome(outcome).await?;
        self.views.forget().await;
        Ok(())
    }

    /// The entries after the position `after`, at most `limit`: all that still matter for 0.
    ///
    /// # Errors
    /// [`NotOfThisLog`].
    pub async fn since(&self, after: u64, limit: usize) -> Result<SignOutBatch, NotOfThisLog> {
        let now_seconds = self.pages.clock.now_ms() / 1000;
        if page_of(after) > now_seconds.saturating_add(MOST_AHEAD_SECONDS) {
            return Err(NotOfThisLog::Position);
        }
        let batch = self.views.since(&self.pages, after, limit).await?;
        if batch.version >= after {
            return Ok(batch);
        }
        // Either another replica has appended since, or the store went back in time and lost entries.
        self.views.forget().await;
        let batch = self.views.since(&self.pages, after, limit).await?;
        if batch.version >= after {
            return Ok(batch);
        }
        self.pages.leave_positions_until(after).await?;
        self.views.forget().await;
        Ok(self.views.since(&self.pages, after, limit).await?)
    }

    /// How many entries the log has, as they were last read.
    pub async fn known_entries(&self) -> usize {
        self.views.known_entries().await
    }
}

fn lifetime(grace: Duration) -> Duration {
    ID_TOKEN_LIFE.saturating_add(grace).saturating_add(KEPT_LONGER)
}
