//! An issuer's keys: fetched when needed, never more often than every [`FETCH_APART`], the last good set kept, and
//! keys that were rotated away remembered in the store, because a token that expired long ago still has to prove
//! whose it is, also after a restart.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use secrecy::ExposeSecret;
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::jwt::Claims;
use tokio::time::Instant;

use super::Context;
use super::discovery::Discovery;
use super::known_keys::{Judgement, Known, KnownKey, MOST_PAST_KEYS, keep_the_latest};
use super::verify::{read_header, read_key_set};
use crate::digest;
use crate::flight::{Flights, Landed};
use crate::store::{Expected, Key, Outcome, StoreError};

/// At least this long between two fetches.
pub const FETCH_APART: Duration = Duration::from_secs(10);
/// A set older than this is fetched anew in the background (Dex: `max-age=600`).
const REFETCH_AFTER_MS: u64 = 600_000;

/// Which keys may have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAge {
    /// Only those that the issuer publishes.
    Present,
    /// Also those that it published not longer than the grace ago.
    PresentOrPast,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Not a JWT with the claims that every ID token has.
    #[error("not a JWT with iss, sub, aud and exp")]
    Malformed,
    /// An algorithm that is not accepted, a wrong signature, or a key that the issuer never had.
    #[error("not signed by a key of its issuer")]
    Forged,
    /// The issuer's keys cannot be had right now.
    #[error("the issuer's keys cannot be had: {cause}")]
    KeysUnavailable {
        /// When asking again can help.
        retry_after: Duration,
        /// For people.
        cause: String,
    },
    /// The store with the past keys does not answer.
    #[error("the store does not answer")]
    StoreUnavailable,
}

fn not_again(left: Duration) -> Unverified {
    Unverified::KeysUnavailable {
        retry_after: left,
        cause: "they were fetched a moment ago and do not hold this token's key".to_owned(),
    }
}

/// Where the keys of `issuer` are remembered.
#[must_use]
pub fn record_of(issuer: &str) -> Key {
    Key::new("keys", &digest::hex_of_parts(&[issuer]))
}

/// The keys of one issuer.
pub struct IssuerKeys {
    issuer: String,
    discovery: Arc<Discovery>,
    context: Context,
    known: RwLock<Arc<Known>>,
    /// One fetch at a time, for all who need it.
    fetches: Flights<Result<Arc<Known>, Unverified>>,
    /// One look into the store at a time.
    recalling: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for IssuerKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("IssuerKeys")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl IssuerKeys {
    /// No key is fetched before the first is needed.
    #[must_use]
    pub fn new(issuer: String, discovery: Arc<Discovery>, context: Context) -> Self {
        Self {
            issuer,
            discovery,
            context,
            known: RwLock::default(),
            fetches: Flights::default(),
            recalling: tokio::sync::Mutex::new(()),
        }
    }

    /// The claims of `token`, if one of this issuer's keys signed it. Issuer, audience and times are not judged.
    ///
    /// # Errors
    /// [`Unverified`].
    pub async fn verify(self: &Arc<Self>, token: &str, age: KeyAge) -> Result<Claims, Unverified> {
        let claims = Claims::read(token.as_bytes()).map_err(|_| Unverified::Malformed)?;
        self.prove(token, &claims, age).await?;
        Ok(claims)
    }

    /// Whether one of this issuer's keys signed `token`, whose claims were read already. They are not judged.
    ///
    /// # Errors
    /// [`Unverified`].
    pub async fn prove(
        self: &Arc<Self>,
        token: &str,
        claims: &Claims,
        age: KeyAge,
    ) -> Result<(), Unverified> {
        let (now_ms, arrived) = (self.context.clock.now_ms(), Instant::now());
        let retired_since_ms = now_ms.saturating_sub(whole_ms(self.context.past_key_grace));
        let mut known = self.snapshot();
        if known.has_proven(token, age, retired_since_ms) {
            self.refetch_when_old(&known, now_ms);
            return Ok(());
        }
        let header = read_header(token).ok_or(Unverified::Forged)?;
        let judge = |known: &Known| known.judge(token, &header, age, retired_since_ms);
        let mut judgement = judge(&known);
        if judgement == Judgement::UnknownKey
            && let Some(recalled) = self.recalled(&known).await
        {
            known = recalled;
            judgement = judge(&known);
        }
        if judgement == Judgement::UnknownKey {
            known = self.newer(claims, arrived, judge).await?;
            judgement = judge(&known);
        } else {
            self.refetch_when_old(&known, now_ms);
        }
        match judgement {
            Judgement::Signed => Ok(()),
            Judgement::UnknownKey if age == KeyAge::PresentOrPast && !known.remembered => {
                Err(Unverified::StoreUnavailable)
            }
            Judgement::Forged | Judgement::UnknownKey => Err(Unverified::Forged),
        }
    }

    /// After a start: the keys of before, so that what they prove needs no issuer, which may be slow or away.
    async fn recalled(&self, known: &Known) -> Option<Arc<Known>> {
        if known.remembered || known.attempted_at_ms.is_some() {
            return None;
        }
        let _recalling = self.recalling.lock().await;
        let is_over = |known: &Known| known.remembered || known.attempted_at_ms.is_some();
        let snapshot = self.snapshot();
        if is_over(&snapshot) {
            return Some(snapshot);
        }
        let remembered = self.remembered().await.ok()?;
        Some(self.publish(|known| {
            if !is_over(known) {
                known.recall(remembered);
            }
        }))
    }

    /// A set newer than the one that did not know the key of the token with `claims`, which came when it had `arrived`.
    async fn newer(
        self: &Arc<Self>,
        claims: &Claims,
        arrived: Instant,
        judge: impl Fn(&Known) -> Judgement,
    ) -> Result<Arc<Known>, Unverified> {
        let known = self.snapshot();
        // A fetch may have ended since that set was looked at.
        if judge(&known) != Judgement::UnknownKey {
            return Ok(known);
        }
        if let Some(left) = self.resting(&known) {
            return if known.is_later_than(claims.issued_at_seconds) {
                Ok(known)
            } else {
                Err(not_again(left))
            };
        }
        let known = self.fetched().await?;
        let is_of_before = known.attempted.is_none_or(|attempted| attempted < arrived);
        if !is_of_before || judge(&known) != Judgement::UnknownKey {
            return Ok(known);
        }
        // The key may be younger than a fetch that was under way already.
        match self.resting(&known) {
            Some(left) => Err(not_again(left)),
            None => self.fetched().await,
        }
    }

    /// How much longer nothing is fetched.
    fn resting(&self, known: &Known) -> Option<Duration> {
        let rests_until_ms = known.attempted_at_ms? + whole_ms(FETCH_APART);
        let left_ms = rests_until_ms.saturating_sub(self.context.clock.now_ms());
        (left_ms > 0).then(|| Duration::from_millis(left_ms))
    }

    /// What comes of the fetch that is under way, or of a new one. It is not the callers': a slow issuer's keys arrive
    /// although no caller waits so long, and a caller that leaves leaves nothing behind.
    async fn fetched(self: &Arc<Self>) -> Result<Arc<Known>, Unverified> {
        // Discovery and the keys each may take the client's timeout; the store has deadlines of its own.
        let longest = self.context.client.timeout() * 3;
        let keys = Arc::clone(self);
        let fetch = self
            .fetches
            .join("", longest, |_| async move { keys.fetch().await });
        match fetch.await {
            Landed::Done(fetched) => fetched,
            Landed::Deadline(_) | Landed::Lost => Err(Unverified::KeysUnavailable {
                retry_after: FETCH_APART,
                cause: "fetching them did not end".to_owned(),
            }),
        }
    }

    /// Whether the last look for the keys failed, as that of an issuer that does not answer; looks again then, in the
    /// background, as soon as it may.
    #[must_use]
    pub fn cannot_be_had(self: &Arc<Self>) -> bool {
        let known = self.snapshot();
        let failed = known.attempted_at_ms > known.fetched_at_ms;
        if failed && self.resting(&known).is_none() {
            let keys = Arc::clone(self);
            self.fetches.start("", |_| async move { keys.fetch().await });
        }
        failed
    }

    fn snapshot(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known; nothing that somebody else has learnt meanwhile is lost.
    fn publish(&self, change: impl FnOnce(&mut Known)) -> Arc<Known> {
        let mut place = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut known = place.as_ref().clone();
        change(&mut known);
        *place = Arc::new(known);
        Arc::clone(&place)
    }

    /// Keys that the issuer withdrew must be noticed although no unknown key points to it.
    fn refetch_when_old(self: &Arc<Self>, known: &Known, now_ms: u64) {
        let old = known
            .attempted_at_ms
            .is_none_or(|attempted| now_ms.saturating_sub(attempted) > REFETCH_AFTER_MS);
        if old {
            let keys = Arc::clone(self);
            self.fetches.start("", |_| async move { keys.fetch().await });
        }
    }

    async fn fetch(&self) -> Result<Arc<Known>, Unverified> {
        let seen = self.snapshot();
        // Another fetch may have ended between the look of who wants this one and now.
        if self.resting(&seen).is_some() {
            return Ok(seen);
        }
        let (began_ms, began) = (self.context.clock.now_ms(), Instant::now());
        let mut remembered = None;
        if !seen.remembered {
            match self.remembered().await {
                Ok(keys) => remembered = Some(keys),
                Err(error) => tracing::debug!(%error, issuer = self.issuer, "past keys cannot be read"),
            }
        }
        let fetched = self.download().await;
        let retired_since_ms = began_ms.saturating_sub(whole_ms(self.context.past_key_grace));
        let known = self.publish(|known| {
            known.attempted_at_ms = Some(began_ms);
            known.attempted = Some(began);
            if let Some(remembered) = remembered {
                known.recall(remembered);
            }
            if let Ok(fetched) = &fetched {
                known.keys = known.merged(fetched, began_ms, retired_since_ms);
                known.fetched_at_ms = Some(began_ms);
            }
        });
        let Err(cause) = fetched else {
            if known.remembered
                && let Err(error) = self.remember(&known.keys).await
            {
                tracing::debug!(%error, issuer = self.issuer, "keys cannot be remembered");
            }
            return Ok(known);
        };
        tracing::warn!(
            issuer = self.issuer,
            cause,
            "the issuer's keys could not be fetched"
        );
        if known.fetched_at_ms.is_none() && !known.keys.is_empty() {
            // Remembered keys can still prove the token.
            return Ok(known);
        }
        Err(Unverified::KeysUnavailable {
            retry_after: self.resting(&known).unwrap_or(Duration::from_secs(1)),
            cause,
        })
    }

    async fn download(&self) -> Result<Vec<Jwk>, String> {
        let client = &self.context.client;
        let url = self
            .discovery
            .jwks_uri(&self.context)
            .await
            .map_err(|failed| failed.to_string())?;
        let started = Instant::now();
        let answer = client.get(&url).await;
        self.context
            .metrics
            .issuer_request(&self.issuer, "keys", started.elapsed());
        let answer = answer.map_err(|failed| failed.to_string())?;
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        read_key_set(&answer.body).ok_or_else(|| "not a JWK set".to_owned())
    }

    fn store_key(&self) -> Key {
        record_of(&self.issuer)
    }

    async fn remembered(&self) -> Result<Vec<KnownKey>, StoreError> {
        let key = self.store_key();
        let Some(entry) = self.context.store.read(&key).await? else {
            return Ok(Vec::new());
        };
        let unexpected = |what: &str| StoreError::Unexpected {
            key: key.clone(),
            what: what.to_owned(),
        };
        // Sealed although public: who can write to the store must not be able to add a key.
        let Ok(opened) = self.context.ring.open(key.as_str(), &entry.value) else {
            return Err(unexpected("the remembered keys do not open"));
        };
        serde_json::from_slice(opened.expose_secret())
            .map_err(|_| unexpected("the remembered keys are not of this version"))
    }

    /// Replicas write the same content; what one of them knew and another did not is kept.
    async fn remember(&self, keys: &[KnownKey]) -> Result<(), StoreError> {
        let key = self.store_key();
        let mut keys = keys.to_vec();
        let now_ms = self.context.clock.now_ms();
        let retired_since_ms = now_ms.saturating_sub(whole_ms(self.context.past_key_grace));
        let mut others = Vec::new();
        for mut stored in self.remembered().await? {
            // What another replica saw published and this fetch came without is gone by now.
            let retired_ms = *stored.retired_at_ms.get_or_insert(now_ms);
            let known = keys.iter().any(|known| known.jwk == stored.jwk);
            if !known && retired_ms >= retired_since_ms {
                others.push(stored);
            }
        }
        let past = keys.iter().filter(|known| known.retired_at_ms.is_some()).count();
        keep_the_latest(&mut others);
        others.truncate(MOST_PAST_KEYS.saturating_sub(past));
        keys.append(&mut others);
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Failed {
            operation: "remember keys",
            source,
        };
        let text = serde_json::to_vec(&keys).map_err(|error| failed(Box::new(error)))?;
        let sealed = self
            .context
            .ring
            .seal(key.as_str(), &text)
            .map_err(|error| failed(Box::new(error)))?;
        let lifetime = self.context.past_key_grace + Duration::from_secs(24 * 3600);
        let written = self
            .context
            .store
            .write(&key, Expected::Any, &sealed, Some(lifetime))
            .await?;
        debug_assert!(matches!(written, Outcome::Done(_)));
        Ok(())
    }
}
