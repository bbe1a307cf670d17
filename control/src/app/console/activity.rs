//! What happened, as the console shows it: the last refusals, the list of events, and what was last seen of each pair.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Console;
use super::refusal::{ConsoleRefusal, ConsoleRefused};
use crate::activity::{Event, EventKind, PairRecord};
use crate::app::Service;
use crate::console::search::normal;
use crate::store::{Cursor, StoreError};

/// Events on one page.
const ROWS: usize = 50;
/// Events that one request examines for a filtered page.
const MOST_EXAMINED: usize = 2_000;
/// Events that one call of the store reads.
const STEP: usize = 200;
/// How long the position of the newest event is not read again.
const NEWEST_FOR: Duration = Duration::from_millis(900);
/// Refusals on the overview.
const LAST_REFUSALS: usize = 8;

/// Which events a page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    /// Only of this kind.
    pub(crate) kind: Option<EventKind>,
    /// Only those with this text in the server's name, the issuer, the refusal or a digest: an address names no user.
    pub(crate) text: String,
}

impl EventFilter {
    /// Of the parameters of an address; a kind that is not known is none.
    pub(crate) fn new(kind: Option<&str>, text: Option<&str>) -> Self {
        Self {
            kind: EventKind::ALL
                .into_iter()
                .find(|known| Some(known.name()) == kind),
            text: normal(text.unwrap_or_default()),
        }
    }

    fn takes(&self, event: &Event) -> bool {
        let texts = [
            event.server.as_deref(),
            event.issuer.as_deref(),
            event.refusal.as_deref(),
            event.pair.as_deref(),
            event.session.as_deref(),
        ];
        let has_text = || {
            texts
                .into_iter()
                .flatten()
                .any(|text| normal(text).contains(&self.text))
        };
        self.kind.is_none_or(|kind| kind == event.kind) && (self.text.is_empty() || has_text())
    }
}

/// A page of events, the newest first.
#[derive(Debug)]
pub(crate) struct EventListing {
    /// The events.
    pub(crate) events: Vec<Event>,
    /// Where older ones begin; `None`: there are none.
    pub(crate) next: Option<Cursor>,
    /// How many events were examined.
    pub(crate) examined: usize,
}

/// The newest event as it was read last.
#[derive(Default)]
pub(super) struct NewestEvent(Mutex<Option<(Instant, Option<Cursor>)>>);

impl Service {
    /// Events before `before` that `filter` takes.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: the store.
    pub(crate) async fn console_events(
        &self,
        before: Option<Cursor>,
        filter: &EventFilter,
    ) -> Result<EventListing, ConsoleRefused> {
        let (mut events, mut examined, mut next) = (Vec::new(), 0, before);
        loop {
            let page = self.history.before(next.as_ref(), STEP).await?;
            let read = page.events.len() + page.unreadable;
            let mut last = page.cursor;
            for recorded in page.events {
                examined += 1;
                if filter.takes(&recorded.event) {
                    events.push(recorded.event);
                    if events.len() == ROWS {
                        last = Some(recorded.cursor);
                        break;
                    }
                }
            }
            let is_end = read < STEP && events.len() < ROWS;
            next = last;
            if is_end || events.len() == ROWS || examined >= MOST_EXAMINED {
                return Ok(EventListing {
                    next: next.filter(|_| !is_end),
                    events,
                    examined,
                });
            }
        }
    }

    /// The refusals that began last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn last_refusals(&self) -> Result<Vec<Event>, StoreError> {
        let page = self.history.before(None, STEP).await?;
        let events = page.events.into_iter().map(|recorded| recorded.event);
        let refusals = events.filter(|event| event.kind == EventKind::RefusalBegan);
        Ok(refusals.take(LAST_REFUSALS).collect())
    }

    /// The position of the newest event, at most a second old; it changes with every one. All live pages of this process
    /// share one read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn newest_event(&self, console: &Console) -> Result<Option<Cursor>, StoreError> {
        let mut newest = console.newest.0.lock().await;
        if let Some((at, cursor)) = &*newest
            && at.elapsed() < NEWEST_FOR
        {
            return Ok(cursor.clone());
        }
        let cursor = self.history.before(None, 1).await?.cursor;
        *newest = Some((Instant::now(), cursor.clone()));
        Ok(cursor)
    }

    /// What was last seen of the pair with this digest, eight hex digits.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: it is not known, or the store failed.
    pub(crate) async fn console_pair_record(&self, digest: &str) -> Result<PairRecord, ConsoleRefused> {
        self.history.pair(digest).await?.ok_or_else(|| {
            ConsoleRefused::new(
                ConsoleRefusal::NotFound,
                "no request of a pair with this digest was seen in the last hours, or its token proved no user",
            )
        })
    }

    /// What was last seen of the pairs of `owner`, by server.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn last_outcomes(&self, owner: &str) -> Result<HashMap<String, PairRecord>, StoreError> {
        let pairs = self.history.pairs_of(owner).await?;
        Ok(pairs
            .into_iter()
            .map(|pair| (pair.server.clone(), pair))
            .collect())
    }
}
