//! An issuer's keys: fetched when needed, at a limited rate. The last usable set stays in use, and keys that were rotated
//! away are stored, because a token that expired long ago must still prove its subject.

mod fetch;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::jwt::Claims;
use tokio::time::Instant;

use super::discovery::Discovery;
use super::known_keys::{Case, Judgement, KnownKeys};
use super::loggable::loggable;
use super::proven_tokens::{KeySetVersion, TokenDigest};
use super::verify::{BadHeader, SignatureHeader, read_header};
use crate::context::Context;
use crate::coordination::singleflight::SingleFlight;

pub use super::known_keys::KeyAge;
pub use super::stored_keys::record_of;
pub use super::unverified::Unverified;

/// The shortest time between two fetches for tokens of callers: a caller can write any `kid`.
pub const FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// The same for tokens from the issuer itself and from the aggregator, so that forged tokens of callers do not delay them.
pub const TRUSTED_FETCH_INTERVAL: Duration = Duration::from_secs(2);
/// The longest wait that a cache's lifetime causes.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Unknown keys of the issuer's own answers that are recorded with their first appearance.
const MAX_UNKNOWN: usize = 16;

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The issuer's own response.
    Answer,
    /// A login that the aggregator registers.
    Login,
    /// Any caller.
    Caller,
}

impl Source {
    const fn fetch_interval(self) -> Duration {
        match self {
            Self::Answer | Self::Login => TRUSTED_FETCH_INTERVAL,
            Self::Caller => FETCH_INTERVAL,
        }
    }
}

/// The keys of one issuer.
pub struct IssuerKeys {
    issuer: String,
    discovery: Arc<Discovery>,
    context: Context,
    /// `kid`s and RFC 7638 thumbprints of keys that the configuration rejects.
    rejected: Vec<String>,
    known: RwLock<Arc<KnownKeys>>,
    /// One fetch at a time, shared by all callers.
    fetches: SingleFlight<Arc<KnownKeys>>,
    /// One read of the store at a time.
    reading_store: tokio::sync::Mutex<()>,
    /// Unknown keys of the issuer's own answers, each with its first appearance (Unix ms).
    unknown: Mutex<VecDeque<(Option<String>, u64)>>,
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
    /// The keys of `issuer`, fetched when one is first needed.
    #[must_use]
    pub fn new(issuer: String, discovery: Arc<Discovery>, context: Context) -> Self {
        Self {
            issuer,
            discovery,
            context,
            rejected: Vec::new(),
            known: RwLock::default(),
            fetches: SingleFlight::default(),
            reading_store: tokio::sync::Mutex::new(()),
            unknown: Mutex::default(),
        }
    }

    /// The same, but keys with these `kid`s or RFC 7638 thumbprints prove nothing, present or past.
    #[must_use]
    pub fn rejecting(mut self, rejected: Vec<String>) -> Self {
        self.rejected = rejected;
        self
    }

    /// The claims of `token`, if one of this issuer's keys signed it. Issuer, audience and times are not checked.
    ///
    /// # Errors
    /// [`Unverified`].
    pub async fn verify(self: &Arc<Self>, token: &str, age: KeyAge) -> Result<Claims, Unverified> {
        let claims = Claims::read(token.as_bytes())?;
        self.prove(token, TokenDigest::of(token), &claims, age).await?;
        Ok(claims)
    }

    /// The same for a token that the issuer itself has just sent. An unknown key is fetched sooner, and one that stays
    /// unknown is reported although each new answer is younger than the key set.
    ///
    /// # Errors
    /// [`Unverified`].
    pub async fn verify_answer(self: &Arc<Self>, token: &str) -> Result<Claims, Unverified> {
        let claims = Claims::read(token.as_bytes())?;
        let digest = TokenDigest::of(token);
        self.judged(token, digest, &claims, KeyAge::Present, Source::Answer)
            .await?;
        Ok(claims)
    }

    /// Whether one of this issuer's keys signed `token`, whose `digest` and `claims` the caller has computed. The claims are
    /// not judged, except `iat` and `exp` against the withdrawal of the key.
    ///
    /// # Errors
    /// [`Unverified`].
    pub async fn prove(
        self: &Arc<Self>,
        token: &str,
        digest: TokenDigest,
        claims: &Claims,
        age: KeyAge,
    ) -> Result<(), Unverified> {
        self.judged(token, digest, claims, age, Source::Caller).await
    }

    /// Whether [`IssuerKeys::prove`] has accepted the token before and would again without a look at its signature.
    pub(crate) fn has_proven(
        self: &Arc<Self>,
        token: &str,
        digest: TokenDigest,
        claims: &Claims,
        age: KeyAge,
    ) -> bool {
        let now_ms = self.context.clock.now_ms();
        let case = self.case(token, digest, claims, (age, now_ms));
        self.is_proven(&self.snapshot(), &case)
    }

    fn case<'a>(
        &'a self,
        token: &'a str,
        digest: TokenDigest,
        claims: &'a Claims,
        (age, now_ms): (KeyAge, u64),
    ) -> Case<'a> {
        Case {
            token,
            digest,
            claims,
            age,
            now_ms,
            retired_since_ms: self.retired_since_ms(now_ms),
            rejected: &self.rejected,
        }
    }

    /// Whether the `known` keys have proven the token of `case` before.
    fn is_proven(self: &Arc<Self>, known: &KnownKeys, case: &Case<'_>) -> bool {
        let proof = self.context.proven_tokens.proof(&case.digest, known.version);
        let is_proven = proof.is_some_and(|proof| known.still_proves(proof, case));
        if is_proven {
            self.refetch_when_old(known, case.now_ms);
        }
        is_proven
    }

    /// The same for a login that the aggregator registers: an unknown key is fetched sooner.
    ///
    /// # Errors
    /// [`Unverified`].
    pub async fn prove_login(self: &Arc<Self>, token: &str, claims: &Claims) -> Result<(), Unverified> {
        let digest = TokenDigest::of(token);
        self.judged(token, digest, claims, KeyAge::PresentOrPast, Source::Login)
            .await
    }

    async fn judged(
        self: &Arc<Self>,
        token: &str,
        digest: TokenDigest,
        claims: &Claims,
        age: KeyAge,
        source: Source,
    ) -> Result<(), Unverified> {
        let (now_ms, arrived) = (self.context.clock.now_ms(), Instant::now());
        let case = self.case(token, digest, claims, (age, now_ms));
        let mut known = self.snapshot();
        if self.is_proven(&known, &case) {
            return Ok(());
        }
        let header = read_header(token).map_err(|bad| match bad {
            BadHeader::Unreadable => Unverified::Header,
            BadHeader::Algorithm(name) => Unverified::Algorithm(name),
        })?;
        let mut judgement = known.judge(&case, &header);
        if judgement.is_open()
            && let Some(with_stored) = self.with_stored(&known).await
        {
            known = with_stored;
            judgement = known.judge(&case, &header);
        }
        if judgement.is_open() {
            let judge = |known: &KnownKeys| known.judge(&case, &header);
            known = self.newer_set(source, arrived, judge).await?;
            judgement = judge(&known);
        } else {
            self.refetch_when_old(&known, now_ms);
        }
        self.verdict(&judgement, &known, &case, &header, source)
    }

    fn verdict(
        &self,
        judgement: &Judgement,
        known: &KnownKeys,
        case: &Case<'_>,
        header: &SignatureHeader,
        source: Source,
    ) -> Result<(), Unverified> {
        let name = header.key_id.as_deref().map(loggable);
        let final_error = match judgement {
            Judgement::Signed(proof) => {
                self.context.proven_tokens.store_proof(case.digest, *proof);
                return Ok(());
            }
            Judgement::Forged => return Err(Unverified::Forged),
            Judgement::OtherAlgorithm => return Err(Unverified::OtherAlgorithm),
            Judgement::Rejected => return Err(Unverified::KeyRejected),
            Judgement::NotUsed(why) => {
                let why = why.clone();
                return Err(Unverified::KeyNotUsed {
                    id: name.unwrap_or_default(),
                    why,
                });
            }
            Judgement::Withdrawn => Unverified::KeyWithdrawn,
            Judgement::UnknownKey if case.age == KeyAge::PresentOrPast && !known.store_read => {
                return Err(Unverified::StoreUnavailable);
            }
            Judgement::UnknownKey => Unverified::KeyUnknown(name.clone()),
        };
        let now_ms = self.context.clock.now_ms();
        let since_seconds = self.unknown_since(case.claims, header, source, now_ms);
        if known.is_later_than(since_seconds, now_ms) {
            return Err(final_error);
        }
        let rest = self.fetch_wait(known, source).unwrap_or(Duration::from_secs(1));
        if let Some(failed) = &known.failed {
            return Err(failed.unverified(rest));
        }
        let cached = known.cache.remaining().map(|left| left.min(LONGEST_WAIT));
        let what = match name {
            Some(id) => format!("the issuer's key set does not hold the key {id} yet"),
            None => "no key of the issuer's key set verifies it yet".to_owned(),
        };
        let behind = match cached {
            Some(_) => "; a cache in between serves an older key set",
            None => "",
        };
        Err(Unverified::KeyNotYetKnown {
            retry_after: cached.unwrap_or(rest).max(rest),
            cached_for: cached.filter(|left| !left.is_zero()),
            cause: format!("{what}{behind}"),
        })
    }

    /// Since when the key of a token is in use, Unix seconds. Each of the issuer's own answers is new, but its key need not
    /// be: there the first appearance of the key counts.
    fn unknown_since(
        &self,
        claims: &Claims,
        header: &SignatureHeader,
        source: Source,
        now_ms: u64,
    ) -> Option<u64> {
        if source != Source::Answer {
            return claims.issued_at_seconds;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let first = unknown.iter().find(|(id, _)| *id == header.key_id);
        let first_ms = first
            .map(|(_, since_ms)| *since_ms)
            .filter(|since_ms| *since_ms <= now_ms);
        if first_ms.is_none() {
            unknown.retain(|(id, _)| *id != header.key_id);
            unknown.truncate(MAX_UNKNOWN - 1);
            unknown.push_front((header.key_id.clone(), now_ms));
        }
        Some(first_ms.unwrap_or(now_ms) / 1000)
    }

    /// After a start, the keys with those in the store: tokens that these prove do not depend on an issuer that may be slow
    /// or down. `None` if the store or the issuer was read already, or the store does not answer.
    async fn with_stored(&self, known: &KnownKeys) -> Option<Arc<KnownKeys>> {
        if known.store_read || known.attempted_at_ms.is_some() {
            return None;
        }
        let _recalling = self.reading_store.lock().await;
        let is_over = |known: &KnownKeys| known.store_read || known.attempted_at_ms.is_some();
        let snapshot = self.snapshot();
        if is_over(&snapshot) {
            return Some(snapshot);
        }
        let remembered = super::stored_keys::read(&self.context, &self.issuer).await.ok()?;
        Some(self.publish(|known| {
            if !is_over(known) {
                known.add_stored(remembered);
            }
        }))
    }

    /// The keys after a fetch later than `arrived`, the arrival of the token whose judgement is open; the same keys if it is
    /// too early for another fetch.
    async fn newer_set(
        self: &Arc<Self>,
        source: Source,
        arrived: Instant,
        judge: impl Fn(&KnownKeys) -> Judgement,
    ) -> Result<Arc<KnownKeys>, Unverified> {
        let known = self.snapshot();
        // A fetch may have ended since the judgement.
        if !judge(&known).is_open() {
            return Ok(known);
        }
        if self.fetch_wait(&known, source).is_some() {
            return Ok(known);
        }
        let known = self.fetched(source).await?;
        let is_of_before = known.attempted.is_none_or(|attempted| attempted < arrived);
        if !is_of_before || !judge(&known).is_open() || self.fetch_wait(&known, source).is_some() {
            return Ok(known);
        }
        // The key may be younger than a fetch that was already in flight.
        self.fetched(source).await
    }

    /// How long no set is fetched for tokens of this `source`; `None`: a fetch can start now.
    fn fetch_wait(&self, known: &KnownKeys, source: Source) -> Option<Duration> {
        let next_ms = known.attempted_at_ms? + whole_ms(source.fetch_interval());
        let left_ms = next_ms.saturating_sub(self.context.clock.now_ms());
        (left_ms > 0).then(|| Duration::from_millis(left_ms))
    }

    fn retired_since_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(whole_ms(self.context.past_key_grace))
    }

    fn snapshot(&self) -> Arc<KnownKeys> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is known; nothing that another task has learnt meanwhile is lost. Proofs by the keys before no longer
    /// hold.
    fn publish(&self, change: impl FnOnce(&mut KnownKeys)) -> Arc<KnownKeys> {
        let mut place = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut known = place.as_ref().clone();
        change(&mut known);
        known.version = KeySetVersion::next();
        *place = Arc::new(known);
        Arc::clone(&place)
    }
}
