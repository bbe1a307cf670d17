//! Fetches an issuer's key set: one fetch at a time, shared by all callers.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::discovery::is_no_endpoint;
use super::super::key_set::{BadKeySet, CacheTime, KeySet};
use super::super::known_keys::{KnownKeys, NoKeys};
use super::super::loggable::loggable;
use super::super::stored_keys;
use super::{FETCH_INTERVAL, IssuerKeys, Source, Unverified};
use crate::activity::{Event, EventKind};
use crate::coordination::singleflight::FlightOutcome;

/// A set older than this is fetched in the background (Dex: `max-age=600`).
const REFETCH_AFTER_MS: u64 = 600_000;

impl IssuerKeys {
    /// The keys after the fetch in flight, or after a new one. The fetch is independent of its callers: the keys of a slow
    /// issuer arrive although no caller waits that long, and a caller that disconnects does not stop it.
    pub(super) async fn fetched(self: &Arc<Self>, source: Source) -> Result<Arc<KnownKeys>, Unverified> {
        // Discovery and the key set can each take the client's timeout; the store has deadlines of its own.
        let longest = self.context.client.timeout() * 3;
        let keys = Arc::clone(self);
        let fetch = self
            .fetches
            .join("", longest, |_| async move { keys.fetch(source).await });
        match fetch.await {
            FlightOutcome::Done(fetched) => Ok(fetched),
            FlightOutcome::Deadline(_) | FlightOutcome::Lost => Err(Unverified::KeysUnavailable {
                retry_after: FETCH_INTERVAL,
                cause: "the fetch did not end in time".to_owned(),
            }),
        }
    }

    /// Starts a fetch in the background when the set is old: a withdrawal must be noticed although no unknown key leads to a
    /// fetch.
    pub(super) fn refetch_when_old(self: &Arc<Self>, known: &KnownKeys, now_ms: u64) {
        let old = known
            .attempted_at_ms
            .is_none_or(|attempted| now_ms.saturating_sub(attempted) > REFETCH_AFTER_MS);
        if old {
            let keys = Arc::clone(self);
            self.fetches
                .start("", |_| async move { keys.fetch(Source::Caller).await });
        }
    }

    /// Whether the last fetch failed, as with an issuer that does not answer. Then another starts in the background, as soon
    /// as the rate permits.
    #[must_use]
    pub fn are_unavailable(self: &Arc<Self>) -> bool {
        let known = self.snapshot();
        if known.failed.is_some() && self.fetch_wait(&known, Source::Caller).is_none() {
            let keys = Arc::clone(self);
            self.fetches
                .start("", |_| async move { keys.fetch(Source::Caller).await });
        }
        known.failed.is_some()
    }

    async fn fetch(&self, source: Source) -> Arc<KnownKeys> {
        let seen = self.snapshot();
        // Another fetch may have ended since the caller's judgement.
        if self.fetch_wait(&seen, source).is_some() {
            return seen;
        }
        let (began_ms, began) = (self.context.clock.now_ms(), Instant::now());
        let mut remembered = None;
        if !seen.store_read {
            match stored_keys::read(&self.context, &self.issuer).await {
                Ok(keys) => remembered = Some(keys),
                Err(error) => {
                    tracing::debug!(%error, issuer = self.issuer, "reading the issuer's stored keys failed");
                }
            }
        }
        let fetched = self.download().await;
        let retired_since_ms = self.retired_since_ms(began_ms);
        let known = self.publish(|known| {
            known.attempted_at_ms = Some(began_ms);
            known.attempted = Some(began);
            known.failed = fetched.as_ref().err().cloned();
            if let Some(remembered) = remembered {
                known.add_stored(remembered);
            }
            if let Ok((set, cache)) = &fetched {
                known.apply_fetched(set, *cache, began_ms, retired_since_ms);
            }
        });
        match fetched {
            Ok((set, _)) => {
                self.note_unused_keys(&seen, &set);
                self.record_dropped_keys(&seen, &known);
                self.store(&known).await;
            }
            Err(failed) => tracing::warn!(
                issuer = self.issuer,
                cause = %failed,
                "fetching the issuer's keys failed"
            ),
        }
        known
    }

    async fn store(&self, known: &KnownKeys) {
        if known.store_read
            && let Err(error) = stored_keys::write(&self.context, &self.issuer, &known.keys).await
        {
            tracing::debug!(%error, issuer = self.issuer, "storing the issuer's keys failed");
        }
    }

    /// Logs when the unusable keys of a set differ from those of the set before.
    fn note_unused_keys(&self, before: &KnownKeys, set: &KeySet) {
        if set.unusable() > 0 && before.unused != set.unused {
            tracing::warn!(
                issuer = self.issuer,
                left_out = set.unusable(),
                used = set.keys.len(),
                why = set.unusable_reasons(),
                "keys of the issuer's key set are not used"
            );
        }
    }

    /// Records the keys that the set before published and this one does not.
    fn record_dropped_keys(&self, before: &KnownKeys, known: &KnownKeys) {
        let published = |keys: &KnownKeys| -> Vec<String> {
            let present = keys.keys.iter().filter(|known| known.retired_at_ms.is_none());
            present
                .map(|known| known.key.id().map_or_else(|| known.key.thumbprint(), loggable))
                .collect()
        };
        let present = published(known);
        for id in published(before).into_iter().filter(|id| !present.contains(id)) {
            let cause = format!("the issuer does not publish the signing key {id} any more");
            let remedy = "none, if the issuer rotates its keys; tokens that it signed before prove their user for a while";
            self.context.recorder.record(Event {
                issuer: Some(self.issuer.clone()),
                ..Event::new(EventKind::KeyDropped, self.context.clock.now_ms()).refused(
                    "signing_key_withdrawn",
                    &cause,
                    remedy,
                )
            });
        }
    }

    async fn download(&self) -> Result<(KeySet, CacheTime), NoKeys> {
        let unavailable = |cause: String| NoKeys::Unavailable(cause);
        let client = &self.context.client;
        let url = self
            .discovery
            .jwks_uri(&self.context)
            .await
            .map_err(|failed| unavailable(failed.to_string()))?;
        let started = Instant::now();
        let answer = client.get_current(&url).await;
        self.context
            .metrics
            .issuer_request(&self.issuer, "keys", started.elapsed());
        if is_no_endpoint(answer.as_ref().map(|(answer, _)| answer)) {
            self.discovery.reread_soon(&self.context);
        }
        let (answer, cache) = answer.map_err(|failed| unavailable(failed.to_string()))?;
        if answer.status != 200 {
            return Err(unavailable(format!("status {}", answer.status)));
        }
        match KeySet::read(&answer.body) {
            Ok(set) => Ok((set, cache)),
            Err(BadKeySet::Empty) => Err(NoKeys::Empty),
            Err(bad @ BadKeySet::NotASet) => Err(unavailable(bad.to_string())),
        }
    }
}
