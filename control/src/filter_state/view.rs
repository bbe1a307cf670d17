//! What was read of the log: a replica reads the store at most twice a second, for any number of filters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::filter_state::{MAX_SIGN_OUTS, SignOut};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::page::{page_of, start_of};
use super::pages::{Pages, SignOutBatch};
use super::shared_error::SharedError;
use crate::store::StoreError;

/// How long what was read, or could not be read, stands for other filters.
const READ_EVERY: Duration = Duration::from_millis(500);
const OPERATION: &str = "read sign-outs";

type Entries = Arc<[SignOut]>;

/// The log as it was last read. One request reads at a time; the others wait for what it reads.
#[derive(Debug, Default)]
pub(super) struct Views(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    view: Option<View>,
    failure: Option<(Instant, SharedError)>,
    /// Pages that do not change any more: those before the newest one.
    settled: BTreeMap<u64, Entries>,
}

#[derive(Debug, Clone)]
struct View {
    read_at: Instant,
    /// Oldest first.
    pages: Arc<[u64]>,
    newest: Entries,
}

impl View {
    fn is_current(&self) -> bool {
        self.read_at.elapsed() < READ_EVERY
    }

    fn version(&self) -> u64 {
        let number = self.pages.last().copied().unwrap_or(0);
        start_of(number).saturating_add(count(self.newest.len()))
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl Views {
    /// What was read counts no longer.
    pub(super) async fn forget(&self) {
        let mut cached = self.0.lock().await;
        (cached.view, cached.failure) = (None, None);
    }

    /// Entries of the pages that were read.
    pub(super) async fn known_entries(&self) -> usize {
        let cached = self.0.lock().await;
        let settled: usize = cached.settled.values().map(|entries| entries.len()).sum();
        settled + cached.view.as_ref().map_or(0, |view| view.newest.len())
    }

    /// The entries after `after`, at most `limit`. The version is below `after` where the log ends before it.
    pub(super) async fn since(
        &self,
        pages: &Pages,
        after: u64,
        limit: usize,
    ) -> Result<SignOutBatch, StoreError> {
        let mut cached = self.0.lock().await;
        let view = match &cached.failure {
            Some((at, failure)) if at.elapsed() < READ_EVERY => return Err(failure.clone().of(OPERATION)),
            _ => cached.view(pages).await,
        };
        let view = match view {
            Ok(view) => view,
            Err(error) => return Err(cached.failed(error)),
        };
        let mut found: Vec<(u64, Entries)> = Vec::new();
        for &number in view.pages.iter().filter(|number| **number >= page_of(after)) {
            let entries = if Some(&number) == view.pages.last() {
                Arc::clone(&view.newest)
            } else {
                match cached.settled(pages, number).await {
                    Ok(entries) => entries,
                    Err(error) => return Err(cached.failed(error)),
                }
            };
            found.push((number, entries));
        }
        drop(cached);
        Ok(batch(&found, &view, after, limit))
    }
}

/// At most `limit` of the entries after `after`, of the newest [`MAX_SIGN_OUTS`] of `found`.
fn batch(found: &[(u64, Entries)], view: &View, after: u64, limit: usize) -> SignOutBatch {
    let positioned = found.iter().flat_map(|(number, entries)| {
        let positions = start_of(*number).saturating_add(1)..;
        positions.zip(entries.iter().copied())
    });
    let later = || positioned.clone().filter(|(position, _)| *position > after);
    let total = later().count();
    let mut entries = later().skip(total.saturating_sub(MAX_SIGN_OUTS));
    let sent: Vec<(u64, SignOut)> = entries.by_ref().take(limit).collect();
    let has_more = entries.next().is_some();
    let version = match sent.last() {
        Some((position, _)) if has_more => *position,
        _ => view.version(),
    };
    SignOutBatch {
        version,
        has_more,
        sign_outs: sent.into_iter().map(|(_, entry)| entry).collect(),
    }
}

impl Cached {
    fn failed(&mut self, error: StoreError) -> StoreError {
        let shared = SharedError::from(error);
        self.failure = Some((Instant::now(), shared.clone()));
        shared.of(OPERATION)
    }

    async fn view(&mut self, pages: &Pages) -> Result<View, StoreError> {
        if let Some(view) = self.view.as_ref().filter(|view| view.is_current()) {
            return Ok(view.clone());
        }
        // The time before the read: an entry that is appended during it counts from the next one on.
        let read_at = Instant::now();
        let head = pages.head().await?;
        let newest = pages.page(head.newest()).await?;
        let view = View {
            read_at,
            pages: head.pages.into(),
            newest: newest.map(|page| page.entries).unwrap_or_default().into(),
        };
        self.settled.retain(|number, _| view.pages.contains(number));
        self.view = Some(view.clone());
        Ok(view)
    }

    /// The page `number`, which a later one follows. None that has expired comes back.
    async fn settled(&mut self, pages: &Pages, number: u64) -> Result<Entries, StoreError> {
        if let Some(entries) = self.settled.get(&number) {
            return Ok(Arc::clone(entries));
        }
        let page = pages.page(number).await?;
        let entries: Entries = page.map(|page| page.entries).unwrap_or_default().into();
        self.settled.insert(number, Arc::clone(&entries));
        Ok(entries)
    }
}
