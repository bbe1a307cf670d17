//! Counts sessions and grants by state, for the gauges. One replica at a time walks through the store in the background, at
//! a bounded share of its time, and leaves the result in the store for all replicas: a scrape costs nothing, and a million
//! sessions cost as many states read as a few thousand.

mod sample;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokenward_protocol::duration::whole_ms;

use self::sample::Sample;
use super::{Current, Service};
use crate::context::Context;
use crate::coordination::lease;
use crate::observe::metrics::RecordCounts;
use crate::record::codec;
use crate::session::{SessionKey, Sessions};
use crate::store::{Cursor, Expected, Key, StoreError};
use crate::upstream::grant::Grants;
use crate::upstream::grant::record::{GrantKey, GrantState};

/// How often a replica looks whether the count is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// The same while there is no count: another replica is at the first one, or the store does not answer.
const FIRST_LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// The age at which the records are counted again.
const DUE_AFTER: Duration = Duration::from_secs(240);
/// The age at which a count is no longer shown: the store refuses to list, or lists too slowly.
const STALE_AFTER: Duration = Duration::from_secs(3600);
/// Keys that the store examines for one page.
const PAGE: usize = 512;
/// The walk pauses after each page for this many times what the page took: a twentieth of one connection's time …
const PAUSE_FACTOR: u32 = 19;
/// … but not longer than this.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Records of one kind whose state is read, at most.
const MOST_READ: usize = 2048;

const FORMAT: u8 = 1;
const SESSION_STATES: [&str; 2] = ["usable", "needs_login"];
const GRANT_STATES: [&str; 4] = ["active", "suspect", "dead", "signed_out"];

/// A count, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CensusRecord {
    format: u8,
    counted_at_ms: u64,
    /// In the order of [`SESSION_STATES`].
    sessions: [u64; 2],
    /// In the order of [`GRANT_STATES`].
    grants: [u64; 4],
}

impl CensusRecord {
    fn counts(&self) -> RecordCounts {
        RecordCounts {
            sessions: SESSION_STATES.into_iter().zip(self.sessions).collect(),
            grants: GRANT_STATES.into_iter().zip(self.grants).collect(),
            counted_at_seconds: self.counted_at_ms / 1000,
        }
    }

    /// Whether less than `age` has passed at `now_ms` since the count; a clock that was set back counts as well.
    fn is_younger(&self, age: Duration, now_ms: u64) -> bool {
        now_ms.abs_diff(self.counted_at_ms) < whole_ms(age)
    }
}

/// Updates the gauges of sessions and grants until it is aborted.
pub(crate) async fn run(current: Current) {
    loop {
        let census = current.service().census();
        let interval = if census.update().await {
            LOOK_INTERVAL
        } else {
            FIRST_LOOK_INTERVAL
        };
        tokio::time::sleep(interval).await;
    }
}

/// What a count needs of a [`Service`]: a reload must not wait for a walk through the store.
pub struct Census {
    context: Context,
    sessions: Sessions,
    grants: Grants,
    lease_lifetime: Duration,
}

impl Service {
    /// The count of this service's records.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            context: self.context.clone(),
            sessions: self.sessions.clone(),
            grants: self.grants.clone(),
            lease_lifetime: self.config.lease,
        }
    }
}

impl Census {
    /// Sets the gauges of sessions and grants by the latest count, after a new count if one is due and no other replica is
    /// at it. `false`: there is no count to show.
    pub async fn update(&self) -> bool {
        let now_ms = self.context.clock.now_ms();
        let counted = match self.latest_or_new_count(now_ms).await {
            Ok(counted) => counted,
            Err(error) => {
                tracing::debug!(%error, "sessions and grants could not be counted");
                None
            }
        };
        let shown = counted.filter(|record| record.is_younger(STALE_AFTER, now_ms));
        let counts = shown.as_ref().map(CensusRecord::counts);
        self.context.metrics.record_counts(counts.as_ref());
        counts.is_some()
    }

    async fn latest_or_new_count(&self, now_ms: u64) -> Result<Option<CensusRecord>, StoreError> {
        let store = &self.context.store;
        let key = Key::new("census", "latest");
        let entry = store.read(&key).await?;
        // A record of another version is replaced.
        let latest = entry.and_then(|entry| codec::decode::<CensusRecord>(FORMAT, &key, &entry.value).ok());
        if (latest.as_ref()).is_some_and(|latest| latest.is_younger(DUE_AFTER, now_ms)) {
            return Ok(latest);
        }
        let name = Key::new("lease", "census");
        let Some(lease) = lease::try_acquire(store, &name, self.lease_lifetime).await? else {
            return Ok(latest);
        };
        let counted = self.count_records(now_ms).await;
        let written = match &counted {
            Ok(record) => {
                let bytes = codec::encode("serialize census", record)?;
                let write = store.write(&key, Expected::Any, &bytes, Some(STALE_AFTER));
                write.await.map(drop)
            }
            Err(_) => Ok(()),
        };
        lease.release().await;
        written?;
        // Not listed this time: the count before stands until it is stale.
        counted.map(Some).or_else(|error| latest.map(Some).ok_or(error))
    }

    async fn count_records(&self, now_ms: u64) -> Result<CensusRecord, StoreError> {
        let mut sessions = Sample::of_at_most(MOST_READ);
        let mut grants = Sample::of_at_most(MOST_READ);
        self.walk("session", &mut sessions).await?;
        self.walk("grant", &mut grants).await?;
        Ok(CensusRecord {
            format: FORMAT,
            counted_at_ms: now_ms,
            sessions: sessions.by_state(),
            grants: grants.by_state(),
        })
    }

    async fn walk<const STATES: usize>(
        &self,
        kind: &str,
        sample: &mut Sample<STATES>,
    ) -> Result<(), StoreError> {
        let mut cursor: Option<Cursor> = None;
        loop {
            let started = Instant::now();
            let page = self.context.store.list(kind, cursor.as_ref(), PAGE).await?;
            for key in &page.keys {
                let Some((_, name)) = key.as_str().split_once(':') else {
                    continue;
                };
                if sample.counts(name)
                    && let Some(state) = self.state_of(kind, name).await?
                {
                    sample.add(name, state);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
            tokio::time::sleep((started.elapsed() * PAUSE_FACTOR).min(LONGEST_PAUSE)).await;
        }
    }

    /// The index of the record's state; `None` if it is gone, or cannot be decoded.
    async fn state_of(&self, kind: &str, name: &str) -> Result<Option<usize>, StoreError> {
        let state = if kind == "session" {
            let session = SessionKey::from_digest(name.to_owned());
            let grant = self.sessions.grant_record(&session).await;
            grant.map(|grant| Some(session_state(grant.map(|grant| grant.state))))
        } else {
            let grant = self.grants.record(&GrantKey::from_digest(name.to_owned())).await;
            grant.map(|grant| grant.map(|grant| grant_state(grant.state)))
        };
        match state {
            Err(StoreError::Unexpected { .. }) => Ok(None),
            state => state,
        }
    }
}

/// The index in [`SESSION_STATES`] of a session whose grant is in this state, or is over.
fn session_state(grant: Option<GrantState>) -> usize {
    usize::from(!matches!(
        grant,
        Some(GrantState::Active | GrantState::Suspect { .. })
    ))
}

/// The index in [`GRANT_STATES`].
fn grant_state(state: GrantState) -> usize {
    match state {
        GrantState::Active => 0,
        GrantState::Suspect { .. } => 1,
        GrantState::Dead { .. } => 2,
        GrantState::SignedOut { .. } => 3,
    }
}
