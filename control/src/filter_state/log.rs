//! The log of sign-outs in the store.
//!
//! Appending is one compare-and-set on the newest page. A page is left when it is full, or sealed because entries may have been
//! lost with a failover of the store; only then is the next one named in the head. So whoever reads the head, and then its
//! newest page, has every entry up to the last position. No position is given twice: page numbers grow, also across a store
//! that was wiped, because they are not below the time in seconds.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::filter_state::SignOut;

use super::page::{Head, Page, head_key, page_key, page_of};
use super::queue::{Queue, SharedQueue};
use super::view::Views;
use crate::clock::Clock;
use crate::store::{Expected, Store, StoreError, WriteOutcome};

/// Longest life of an ID token that an entry outlives.
const ID_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How much longer an entry is kept: clocks differ, and a filter may be away.
const KEPT_LONGER: Duration = Duration::from_secs(3600);
/// How far ahead of the time the number of a page can be.
const MOST_AHEAD_SECONDS: u64 = 24 * 3600;

/// Entries after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOutBatch {
    /// The position after them.
    pub version: u64,
    /// Whether there are more.
    pub has_more: bool,
    /// Oldest first.
    pub sign_outs: Vec<SignOut>,
}

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

/// Reads and writes the log's records.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
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

impl Pages {
    /// The head; a log that does not exist begins with an empty page, because a filter can know positions of a log that was
    /// wiped.
    pub(super) async fn head(&self) -> Result<Head, StoreError> {
        loop {
            if let Some(entry) = self.store.read(&head_key()).await? {
                return Head::read(&entry);
            }
            self.name_page(&[], Expected::Absent, 0).await?;
        }
    }

    /// The page `number`; `None`: it has expired or was lost.
    pub(super) async fn page(&self, number: u64) -> Result<Option<Page>, StoreError> {
        let entry = self.store.read(&page_key(number)).await?;
        entry.map(|entry| Page::read(number, &entry)).transpose()
    }

    async fn append(&self, entries: &[SignOut]) -> Result<(), StoreError> {
        let mut rest = entries;
        while !rest.is_empty() {
            let head = self.head().await?;
            let number = head.newest();
            let page = self.page(number).await?;
            let lineage = self.lineage().await?;
            let Some(page) = page.filter(|page| page.room() > 0 && head.lineage == lineage) else {
                self.open_next(&head, 0).await?;
                continue;
            };
            let (now, later) = rest.split_at(page.room().min(rest.len()));
            let bytes = Page::encode(&page.entries, now, false)?;
            let expected = Expected::At(page.revision);
            let key = page_key(number);
            let written = self
                .store
                .write(&key, expected, &bytes, Some(self.lifetime))
                .await?;
            if matches!(written, WriteOutcome::Done(_)) {
                rest = later;
            }
        }
        Ok(())
    }

    /// Gives no position up to `position` to an entry.
    async fn leave_positions_until(&self, position: u64) -> Result<(), StoreError> {
        loop {
            let head = self.head().await?;
            if head.newest() > page_of(position) {
                return Ok(());
            }
            self.open_next(&head, page_of(position).saturating_add(1)).await?;
        }
    }

    /// Seals the newest page of `head` and names the next one, with a number of `least` or above. Another replica may do the same
    /// first: the caller reads the head again.
    async fn open_next(&self, head: &Head, least: u64) -> Result<(), StoreError> {
        let newest = head.newest();
        if let Some(page) = self.page(newest).await?
            && page.room() > 0
        {
            let bytes = Page::encode(&page.entries, &[], true)?;
            let expected = Expected::At(page.revision);
            let key = page_key(newest);
            let sealed = self
                .store
                .write(&key, expected, &bytes, Some(self.lifetime))
                .await?;
            if !matches!(sealed, WriteOutcome::Done(_)) {
                return Ok(());
            }
        }
        let number = least.max(newest.saturating_add(1));
        self.name_page(&head.pages, Expected::At(head.revision), number)
            .await
    }

    /// Writes an empty page, and then its name into the head. An absent page of the head is one that was lost or has expired, never
    /// one that is still to be written.
    async fn name_page(&self, before: &[u64], expected: Expected, least: u64) -> Result<(), StoreError> {
        let number = least.max(self.clock.now_ms() / 1000);
        let lineage = self.lineage().await?;
        let empty = Page::encode(&[], &[], false)?;
        let lifetime = Some(self.lifetime);
        // Where it exists, a head that named it was lost: its entries have been read by filters.
        self.store
            .write(&page_key(number), Expected::Absent, &empty, lifetime)
            .await?;
        let bytes = Head::with_page(before, number, lineage)?;
        self.store.write(&head_key(), expected, &bytes, None).await?;
        Ok(())
    }

    async fn lineage(&self) -> Result<Option<String>, StoreError> {
        let lineage = self.store.lineage(&head_key()).await?;
        Ok(lineage.map(|lineage| lineage.0))
    }
}
