//! Reads and writes the pages of the log.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::filter_state::SignOut;

use super::page::{Head, Page, head_key, page_key, page_of};
use crate::clock::Clock;
use crate::store::{Expected, Store, StoreError, WriteOutcome};

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

/// Reads and writes the log's records.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lifetime: Duration,
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

    pub(super) async fn append(&self, entries: &[SignOut]) -> Result<(), StoreError> {
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
    pub(super) async fn leave_positions_until(&self, position: u64) -> Result<(), StoreError> {
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
