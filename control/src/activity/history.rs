//! The activity in the store, sealed and bounded: one stream of events, and a record for each pair.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::pair::{PairOutcome, PairRecord};
use crate::record::codec;
use crate::record::keyring::KeyRing;
use crate::record::sealed::{self, Sealed};
use crate::store::{Cursor, Entry, Expected, Key, Store, StoreError, StreamFrom, StreamLimit};

/// Version of the stored forms.
const FORMAT: u8 = 1;
/// At most 10,000 events of about 1 KiB each, a week long.
pub const EVENTS: StreamLimit = StreamLimit {
    entries: 10_000,
    lifetime: Duration::from_secs(7 * 24 * 3600),
};
/// How long a pair is remembered after its last recorded request: long enough that the digest of a night's log line still
/// leads to a user in the morning.
const REFUSED_PAIR_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// The same for a pair that gets its tokens.
const SERVED_PAIR_LIFETIME: Duration = Duration::from_secs(2 * 3600);
/// The most pairs of one session that are read: there is one for each server.
const MOST_PAIRS: usize = 512;

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its position.
    pub cursor: Cursor,
    /// The event.
    pub event: Event,
}

/// One page of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the requested direction.
    pub events: Vec<Recorded>,
    /// Where the next page continues: the last entry read, else the cursor that was given.
    pub cursor: Option<Cursor>,
    /// Entries that no configured key opens, or that another version wrote. They are left out.
    pub unreadable: usize,
}

/// The stored form of an event and of a pair.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u8,
    sealed: Sealed,
}

/// The activity in a store. Cheap to clone.
#[derive(Clone)]
pub struct History {
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
}

impl fmt::Debug for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("History").finish_non_exhaustive()
    }
}

fn events_key() -> Key {
    Key::new("activity", "events")
}

fn pair_key(pair: &str) -> Key {
    Key::new("pair", pair)
}

/// The set of the pairs of a session, or of a user without one.
fn pairs_key(owner: &str) -> Key {
    Key::new("pairs", owner)
}

impl History {
    /// The activity in `store`, sealed with `ring`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, ring: Arc<KeyRing>) -> Self {
        Self { store, ring }
    }

    /// Appends `events` in this order; the oldest beyond [`EVENTS`] are removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append(&self, events: &[Event]) -> Result<(), StoreError> {
        let key = events_key();
        let values = events
            .iter()
            .map(|event| self.seal(&key, event))
            .collect::<Result<Vec<_>, _>>()?;
        self.store.append(&key, &values, EVENTS).await
    }

    /// At most `limit` events, the oldest first: those after `cursor`, or from the oldest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn after(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.page(StreamFrom::After(cursor), cursor, limit).await
    }

    /// At most `limit` events, the newest first: those before `cursor`, or from the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn before(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.page(StreamFrom::Before(cursor), cursor, limit).await
    }

    async fn page(
        &self,
        from: StreamFrom<'_>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let key = events_key();
        let mut page = Page {
            cursor: cursor.cloned(),
            ..Page::default()
        };
        for entry in self.store.entries(&key, from, limit).await? {
            page.cursor = Some(entry.cursor.clone());
            match self.open(&key, &entry.value) {
                Ok(event) => page.events.push(Recorded {
                    cursor: entry.cursor,
                    event,
                }),
                Err(_) => page.unreadable += 1,
            }
        }
        Ok(page)
    }

    /// Records the last outcome of a pair, in place of the one before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_pair(&self, pair: &PairRecord) -> Result<(), StoreError> {
        let key = pair_key(&pair.pair);
        let lifetime = match pair.outcome {
            PairOutcome::Token => SERVED_PAIR_LIFETIME,
            PairOutcome::Refused { .. } => REFUSED_PAIR_LIFETIME,
        };
        let value = self.seal(&key, pair)?;
        self.store
            .write(&key, Expected::Any, &value, Some(lifetime))
            .await?;
        self.store
            .add_member(&pairs_key(&pair.owner()), &pair.pair, lifetime)
            .await
    }

    /// The pair with this digest, eight hex digits.
    ///
    /// # Errors
    /// [`StoreError`], also for a record that no configured key opens.
    pub async fn pair(&self, pair: &str) -> Result<Option<PairRecord>, StoreError> {
        let key = pair_key(pair);
        match self.store.read(&key).await? {
            Some(Entry { value, .. }) => self.open(&key, &value).map(Some),
            None => Ok(None),
        }
    }

    /// The pairs of a session (its digest) or of a user without one ([`super::pair::user_owner`]), by server.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pairs_of(&self, owner: &str) -> Result<Vec<PairRecord>, StoreError> {
        let members = self.store.members(&pairs_key(owner)).await?;
        let mut pairs = Vec::new();
        for digest in members.iter().take(MOST_PAIRS) {
            if let Some(pair) = self.pair(digest).await?
                && pair.owner() == owner
            {
                pairs.push(pair);
            }
        }
        pairs.sort_by(|left, right| left.server.cmp(&right.server));
        Ok(pairs)
    }

    fn seal<T: Serialize>(&self, key: &Key, content: &T) -> Result<Vec<u8>, StoreError> {
        let envelope = Envelope {
            format: FORMAT,
            sealed: sealed::seal_value(&self.ring, key, "content", content)?,
        };
        codec::encode("serialize activity", &envelope)
    }

    fn open<T: serde::de::DeserializeOwned>(&self, key: &Key, value: &[u8]) -> Result<T, StoreError> {
        let envelope: Envelope = codec::decode(FORMAT, key, value)?;
        sealed::open_value(&self.ring, key, "content", &envelope.sealed)
    }
}
