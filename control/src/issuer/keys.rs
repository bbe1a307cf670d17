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
    /// One fetch at a time.
    fetching: tokio::sync::Mutex<()>,
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
            fetching: tokio::sync::Mutex::new(()),
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
        let now_ms = self.context.clock.now_ms();
        let retired_since_ms = now_ms.saturating_sub(whole_ms(self.context.past_key_grace));
        let known = self.snapshot();
        if known.has_proven(token, age, retired_since_ms) {
            self.refetch_when_old(&known, now_ms);
            return Ok(());
        }
        let header = read_header(token).ok_or(Unverified::Forged)?;
        match known.judge(token, &header, age, retired_since_ms) {
            Judgement::Signed => {
                self.refetch_when_old(&known, now_ms);
                return Ok(());
            }
            Judgement::Forged => return Err(Unverified::Forged),
            Judgement::UnknownKey => {}
        }
        let known = match self.recalled(&known).await {
            Some(recalled) => match recalled.judge(token, &header, age, retired_since_ms) {
                Judgement::Signed => {
                    self.refetch_when_old(&recalled, now_ms);
                    return Ok(());
                }
                Judgement::Forged => return Err(Unverified::Forged),
                Judgement::UnknownKey => self.fetched_for(claims).await?,
            },
            None => self.fetched_for(claims).await?,
        };
        match known.judge(token, &header, age, retired_since_ms) {
            Judgement::Signed => Ok(()),
            Judgement::Forged => Err(Unverified::Forged),
            Judgement::UnknownKey if age == KeyAge::PresentOrPast && !known.remembered => {
                Err(Unverified::StoreUnavailable)
            }
            Judgement::UnknownKey => Err(Unverified::Forged),
        }
    }

    /// After a start: the keys of before, so that what they prove needs no issuer, which may be slow or away.
    async fn recalled(&self, known: &Known) -> Option<Arc<Known>> {
        if known.remembered || known.attempted_at_ms.is_some() {
            return None;
        }
        let _fetching = self.fetching.lock().await;
        let snapshot = self.snapshot();
        if snapshot.remembered || snapshot.attempted_at_ms.is_some() {
            return Some(snapshot);
        }
        let mut known = snapshot.as_ref().clone();
        known.keys = self.remembered().await.ok()?;
        known.remembered = true;
        Some(self.publish(known))
    }

    /// [`Self::fetch`] in a task of its own: a slow issuer's keys arrive although no caller waits so long.
    async fn fetched_for(self: &Arc<Self>, claims: &Claims) -> Result<Arc<Known>, Unverified> {
        let (keys, claims) = (Arc::clone(self), claims.clone());
        let fetch = tokio::spawn(async move { keys.fetch(&claims).await });
        fetch.await.unwrap_or_else(|_| {
            Err(Unverified::KeysUnavailable {
                retry_after: FETCH_APART,
                cause: "the service is shutting down".to_owned(),
            })
        })
    }

    fn snapshot(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&known);
        known
    }

    /// Keys that the issuer withdrew must be noticed although no unknown key points to it.
    fn refetch_when_old(self: &Arc<Self>, known: &Known, now_ms: u64) {
        let old = known
            .attempted_at_ms
            .is_none_or(|attempted| now_ms.saturating_sub(attempted) > REFETCH_AFTER_MS);
        if old {
            let keys = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(_fetching) = keys.fetching.try_lock() {
                    let _ = keys.fetch_now(keys.snapshot().as_ref().clone()).await;
                }
            });
        }
    }

    /// A set newer than the one that did not know the key of the token with `claims`.
    async fn fetch(&self, claims: &Claims) -> Result<Arc<Known>, Unverified> {
        let seen = self.snapshot();
        let _fetching = self.fetching.lock().await;
        let known = self.snapshot();
        // Somebody fetched while we waited for our turn.
        if known.fetched_at_ms > seen.fetched_at_ms {
            return Ok(known);
        }
        let now_ms = self.context.clock.now_ms();
        let left_ms = known.attempted_at_ms.map_or(0, |attempted| {
            (attempted + whole_ms(FETCH_APART)).saturating_sub(now_ms)
        });
        if left_ms == 0 {
            return self.fetch_now(known.as_ref().clone()).await;
        }
        // An issuer publishes a key before or as it signs: an older token by an unknown key is not its own.
        let issued_ms = claims.issued_at_seconds.unwrap_or(0).saturating_mul(1000);
        if known
            .fetched_at_ms
            .is_some_and(|fetched| fetched > issued_ms.saturating_add(1000))
        {
            return Ok(known);
        }
        Err(Unverified::KeysUnavailable {
            retry_after: Duration::from_millis(left_ms),
            cause: "they were fetched a moment ago and do not hold this token's key".to_owned(),
        })
    }

    async fn fetch_now(&self, mut known: Known) -> Result<Arc<Known>, Unverified> {
        if !known.remembered {
            match self.remembered().await {
                Ok(remembered) => {
                    known.keys = remembered;
                    known.remembered = true;
                }
                Err(error) => tracing::debug!(%error, issuer = self.issuer, "past keys cannot be read"),
            }
        }
        let now_ms = self.context.clock.now_ms();
        known.attempted_at_ms = Some(now_ms);
        match self.download().await {
            Ok(fetched) => {
                let retired_since_ms = now_ms.saturating_sub(whole_ms(self.context.past_key_grace));
                let keys = known.merged(&fetched, now_ms, retired_since_ms);
                known.keys = keys;
                known.fetched_at_ms = Some(now_ms);
                if known.remembered
                    && let Err(error) = self.remember(&known.keys).await
                {
                    tracing::debug!(%error, issuer = self.issuer, "keys cannot be remembered");
                }
                Ok(self.publish(known))
            }
            Err(cause) => {
                tracing::warn!(
                    issuer = self.issuer,
                    cause,
                    "the issuer's keys could not be fetched"
                );
                let known = self.publish(known);
                if known.fetched_at_ms.is_none() && !known.keys.is_empty() {
                    // Remembered keys can still prove the token.
                    return Ok(known);
                }
                Err(Unverified::KeysUnavailable {
                    retry_after: FETCH_APART,
                    cause,
                })
            }
        }
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
