//! The keys of an issuer that this process knows, published and past, and the judgement of a token by them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::jwt::Claims;
use tokio::time::Instant;

use super::jwk::{UnusedKey, VerifyingKey};
use super::key_set::{BadKeySet, CacheTime, KeySet};
use super::proven_tokens::{KeySetVersion, SignatureProof, TokenDigest};
use super::unverified::Unverified;
use super::verify::{SignatureHeader, key_fits, signed_by};

/// Past keys: a week of an issuer that rotates every hour.
pub(super) const MOST_PAST_KEYS: usize = 168;
/// Keys that are tried for one token: without a `kid`, or with one that several keys share, each costs a verification.
const MOST_TRIED: usize = 64;
/// How long a token may live after the withdrawal of its key: an issuer withdraws a key when its tokens have expired.
const LONGEST_LIFE_AFTER_WITHDRAWAL: Duration = Duration::from_secs(3600);
/// How long after a token was issued its key may still be missing from the set, without caches.
const PUBLICATION_DELAY: Duration = Duration::from_secs(60);
/// How far the issuer's clock may be ahead of this one.
const CLOCK_AHEAD: Duration = Duration::from_secs(300);

/// Which keys may have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAge {
    /// Only keys that the issuer publishes.
    Present,
    /// Also keys that it withdrew within the grace, for tokens issued before the withdrawal.
    PresentOrPast,
}

/// Why a fetch returned no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoKeys {
    /// No response, or one that is not a key set.
    #[error("{0}")]
    Unavailable(String),
    /// A key set without keys: the issuer has not made its keys yet.
    #[error("{}", BadKeySet::Empty)]
    Empty,
}

impl NoKeys {
    /// The result for a token whose key is unknown.
    pub(super) fn unverified(&self, retry_after: Duration) -> Unverified {
        let cause = self.to_string();
        match self {
            Self::Unavailable(_) => Unverified::KeysUnavailable { retry_after, cause },
            Self::Empty => Unverified::KeyNotYetKnown {
                retry_after,
                cached_for: None,
                cause: format!("the issuer's keys are not available: {cause}"),
            },
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct KnownKey {
    pub(super) key: VerifyingKey,
    /// When a fetched set first lacked it, Unix ms; `None` while it is published.
    pub(super) retired_at_ms: Option<u64>,
}

/// The stored form. Older versions wrote more members of the issuer's JWK.
#[derive(Serialize, Deserialize)]
struct StoredKey {
    jwk: Value,
    retired_at_ms: Option<u64>,
}

/// The stored form of `keys`.
///
/// # Errors
/// Those of the JSON writer.
pub(super) fn to_stored(keys: &[KnownKey]) -> Result<Vec<u8>, serde_json::Error> {
    let stored: Vec<StoredKey> = keys
        .iter()
        .map(|known| StoredKey {
            jwk: known.key.to_jwk(),
            retired_at_ms: known.retired_at_ms,
        })
        .collect();
    serde_json::to_vec(&stored)
}

/// The keys of a stored form, without unusable ones.
///
/// # Errors
/// Those of the JSON reader.
pub(super) fn from_stored(text: &[u8]) -> Result<Vec<KnownKey>, serde_json::Error> {
    let stored: Vec<StoredKey> = serde_json::from_slice(text)?;
    let known = |stored: StoredKey| {
        Some(KnownKey {
            key: VerifyingKey::read(stored.jwk.as_object()?).ok()?,
            retired_at_ms: stored.retired_at_ms,
        })
    };
    Ok(stored.into_iter().filter_map(known).collect())
}

#[derive(Clone, Default)]
pub(super) struct KnownKeys {
    pub(super) keys: Vec<KnownKey>,
    /// Unused keys of the last set.
    pub(super) unused: Vec<UnusedKey>,
    /// The cache headers of the last set.
    pub(super) cache: CacheTime,
    /// Why the last fetch returned no set; `None` if it did.
    pub(super) failed: Option<NoKeys>,
    /// Whether the stored keys were read.
    pub(super) store_read: bool,
    /// When the fetch of the last set began, Unix ms.
    pub(super) fetched_at_ms: Option<u64>,
    pub(super) attempted_at_ms: Option<u64>,
    /// The same by the monotonic clock.
    pub(super) attempted: Option<Instant>,
    /// Another one after each change.
    pub(super) version: KeySetVersion,
}

/// The judgement of a token by the known keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    Signed(SignatureProof),
    Forged,
    OtherAlgorithm,
    Rejected,
    NotUsed(String),
    /// Signed by a key that was withdrawn before; the issuer may have published it again since.
    Withdrawn,
    UnknownKey,
}

impl Judgement {
    /// Whether a newer set can change the judgement.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Withdrawn | Self::UnknownKey | Self::NotUsed(_))
    }
}

/// The input of a judgement besides the keys.
pub(super) struct Case<'a> {
    pub(super) token: &'a str,
    pub(super) digest: TokenDigest,
    pub(super) claims: &'a Claims,
    pub(super) age: KeyAge,
    pub(super) now_ms: u64,
    /// Keys retired before this time (Unix ms) prove nothing.
    pub(super) retired_since_ms: u64,
    /// `kid`s and thumbprints that the configuration rejects.
    pub(super) rejected: &'a [String],
}

impl KnownKeys {
    /// Adds the stored keys; a key that is known already stays as it is, because the process's own knowledge is newer.
    pub(super) fn add_stored(&mut self, remembered: Vec<KnownKey>) {
        for stored in remembered {
            if !self.keys.iter().any(|known| known.key == stored.key) {
                self.keys.push(stored);
            }
        }
        self.store_read = true;
    }

    /// Applies a fetched set; keys that it lacks become past ones.
    pub(super) fn apply_fetched(
        &mut self,
        set: &KeySet,
        cache: CacheTime,
        now_ms: u64,
        retired_since_ms: u64,
    ) {
        self.keys = self.merged(&set.keys, now_ms, retired_since_ms);
        self.unused.clone_from(&set.unused);
        self.cache = cache;
        self.fetched_at_ms = Some(now_ms);
    }

    /// Whether the last set is from a time at which the key of a token issued at `issued_at_seconds` was certainly published:
    /// an issuer publishes a key when it begins to sign with it, and caches can lag as far as their headers state.
    pub(super) fn is_later_than(&self, issued_at_seconds: Option<u64>, now_ms: u64) -> bool {
        let Some(fetched_at_ms) = self.fetched_at_ms else {
            return false;
        };
        let issued_ms = issued_at_seconds.unwrap_or(0).saturating_mul(1000);
        if issued_ms > now_ms.saturating_add(whole_ms(CLOCK_AHEAD)) {
            return true;
        }
        let late_ms = whole_ms(self.cache.possible_age() + PUBLICATION_DELAY);
        fetched_at_ms.saturating_sub(late_ms) >= issued_ms
    }

    /// Whether a proof of the token by these keys still holds: the key that signed it may prove this case.
    pub(super) fn still_proves(&self, proof: SignatureProof, case: &Case<'_>) -> bool {
        is_usable(proof.retired_at_ms, case) && !self.is_too_late(proof.retired_at_ms, case)
    }

    /// Whether a token is too new, or lives too long, for a key that was withdrawn at `retired_at_ms`. A stolen key can sign
    /// any claims, so the token's times must be such as an honest token of that time can have.
    fn is_too_late(&self, retired_at_ms: Option<u64>, case: &Case<'_>) -> bool {
        let Some(retired_at_ms) = retired_at_ms else {
            return false;
        };
        let expires_ms = case.claims.exp_seconds.saturating_mul(1000);
        // Without a readable `iat`, only an expiry before the withdrawal proves the age.
        let issued_ms = case
            .claims
            .issued_at_seconds
            .map_or(expires_ms, |seconds| seconds.saturating_mul(1000));
        let overlap_ms = whole_ms(self.cache.overlap());
        let longest_life_ms = match expires_ms > case.now_ms {
            // No server accepts it any more: it can only be renewed by logging in again.
            true => overlap_ms,
            false => whole_ms(LONGEST_LIFE_AFTER_WITHDRAWAL).max(overlap_ms),
        };
        issued_ms > retired_at_ms.saturating_add(overlap_ms)
            || expires_ms > retired_at_ms.saturating_add(longest_life_ms)
    }

    pub(super) fn judge(&self, case: &Case<'_>, header: &SignatureHeader) -> Judgement {
        let key_id = header.key_id.as_deref();
        if key_id.is_some_and(|key_id| case.rejected.iter().any(|name| name == key_id)) {
            return Judgement::Rejected;
        }
        let named =
            |known: &&KnownKey| key_id.is_none() || known.key.id().is_none() || known.key.id() == key_id;
        let usable = |known: &&KnownKey| is_usable(known.retired_at_ms, case);
        let (mut is_named, mut fits, mut verdict) = (false, false, None);
        for known in self.keys.iter().filter(named).filter(usable).take(MOST_TRIED) {
            let is_its_own = key_id.is_some() && known.key.id() == key_id;
            is_named |= is_its_own;
            fits |= is_its_own && key_fits(&known.key, header.algorithm);
            if !signed_by(case.token, header.algorithm, &known.key) {
                continue;
            }
            if is_rejected(&known.key, case.rejected) {
                return Judgement::Rejected;
            }
            if self.is_too_late(known.retired_at_ms, case) {
                verdict = Some(Judgement::Withdrawn);
                continue;
            }
            return Judgement::Signed(SignatureProof {
                key_set: self.version,
                retired_at_ms: known.retired_at_ms,
            });
        }
        verdict.unwrap_or_else(|| match (is_named, fits) {
            (true, true) => Judgement::Forged,
            (true, false) => Judgement::OtherAlgorithm,
            (false, _) => self.of_unused_key(key_id),
        })
    }

    fn of_unused_key(&self, key_id: Option<&str>) -> Judgement {
        let is_named = |key: &&UnusedKey| key_id.is_some() && key.id.as_deref() == key_id;
        match self.unused.iter().find(is_named) {
            Some(key) => Judgement::NotUsed(key.why.to_string()),
            None => Judgement::UnknownKey,
        }
    }

    /// The keys after a fetch of `fetched`: missing keys become past ones, and those retired before `retired_since_ms` are
    /// dropped.
    fn merged(&self, fetched: &[VerifyingKey], now_ms: u64, retired_since_ms: u64) -> Vec<KnownKey> {
        let mut gone: Vec<KnownKey> = self
            .keys
            .iter()
            .filter(|known| !fetched.contains(&known.key))
            .map(|known| KnownKey {
                key: known.key.clone(),
                retired_at_ms: known.retired_at_ms.or(Some(now_ms)),
            })
            .filter(|known| {
                known
                    .retired_at_ms
                    .is_some_and(|retired| retired >= retired_since_ms)
            })
            .collect();
        truncate_past(&mut gone);
        let present = fetched.iter().map(|key| KnownKey {
            key: key.clone(),
            retired_at_ms: None,
        });
        present.chain(gone).collect()
    }
}

/// Whether a key that was retired at `retired_at_ms` may prove anything in this case.
fn is_usable(retired_at_ms: Option<u64>, case: &Case<'_>) -> bool {
    retired_at_ms.is_none_or(|retired| case.age == KeyAge::PresentOrPast && retired >= case.retired_since_ms)
}

fn is_rejected(key: &VerifyingKey, rejected: &[String]) -> bool {
    if rejected.is_empty() {
        return false;
    }
    let thumbprint = key.thumbprint();
    rejected
        .iter()
        .any(|name| *name == thumbprint || key.id() == Some(name.as_str()))
}

/// Drops all but the [`MOST_PAST_KEYS`] latest, so that an issuer with new keys at every fetch fills neither memory nor the
/// store.
pub(super) fn truncate_past(past: &mut Vec<KnownKey>) {
    past.sort_by_key(|key| std::cmp::Reverse(key.retired_at_ms));
    past.truncate(MOST_PAST_KEYS);
}
