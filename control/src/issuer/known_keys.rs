//! The keys of an issuer that a process knows, published ones and past ones, and what they say about a token.

use jsonwebtoken::jwk::Jwk;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::keys::KeyAge;
use super::proven::{Proven, is_usable};
use super::verify::{SignatureHeader, signed_by};

/// Keys that were rotated away: a week of an issuer that makes a new one every hour.
pub(super) const MOST_PAST_KEYS: usize = 168;

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KnownKey {
    pub(super) jwk: Jwk,
    /// When a fetch first came without it; `None` while it is published.
    pub(super) retired_at_ms: Option<u64>,
}

#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) keys: Vec<KnownKey>,
    /// Whether the remembered keys were read from the store.
    pub(super) remembered: bool,
    pub(super) fetched_at_ms: Option<u64>,
    pub(super) attempted_at_ms: Option<u64>,
    /// The same by a clock that only goes forward.
    pub(super) attempted: Option<Instant>,
    pub(super) proven: Proven,
}

/// What the known keys say about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Signed,
    Forged,
    UnknownKey,
}

impl Known {
    /// Takes in what the store remembers; what is known already is the newer.
    pub(super) fn recall(&mut self, remembered: Vec<KnownKey>) {
        for key in remembered {
            if !self.keys.iter().any(|known| known.jwk == key.jwk) {
                self.keys.push(key);
            }
        }
        self.remembered = true;
    }

    /// An issuer publishes a key before or as it signs: whether a token issued then by one of the issuer's keys would
    /// be known.
    pub(super) fn is_later_than(&self, issued_at_seconds: Option<u64>) -> bool {
        let issued_ms = issued_at_seconds.unwrap_or(0).saturating_mul(1000);
        self.fetched_at_ms
            .is_some_and(|fetched| fetched > issued_ms.saturating_add(1000))
    }

    /// Whether these keys have proven the very same token before, by a key that still may.
    pub(super) fn has_proven(&self, token: &str, age: KeyAge, retired_since_ms: u64) -> bool {
        let retirement = self.proven.retirement(token);
        retirement.is_some_and(|retired_at_ms| is_usable(retired_at_ms, age, retired_since_ms))
    }

    pub(super) fn judge(
        &self,
        token: &str,
        header: &SignatureHeader,
        age: KeyAge,
        retired_since_ms: u64,
    ) -> Judgement {
        let usable = |key: &&KnownKey| is_usable(key.retired_at_ms, age, retired_since_ms);
        let named = |key: &&KnownKey| header.key_id.is_none() || key.jwk.common.key_id == header.key_id;
        let mut found = false;
        for key in self.keys.iter().filter(usable).filter(named) {
            if signed_by(token, header.algorithm, &key.jwk) {
                self.proven.remember(token, key.retired_at_ms);
                return Judgement::Signed;
            }
            found = true;
        }
        match (&header.key_id, found) {
            (Some(_), true) => Judgement::Forged,
            _ => Judgement::UnknownKey,
        }
    }

    /// Takes a fetched set in; keys that are gone are retired, those retired before `retired_since_ms` forgotten.
    pub(super) fn merged(&self, fetched: &[Jwk], now_ms: u64, retired_since_ms: u64) -> Vec<KnownKey> {
        let mut gone: Vec<KnownKey> = self
            .keys
            .iter()
            .filter(|known| !fetched.contains(&known.jwk))
            .map(|known| KnownKey {
                jwk: known.jwk.clone(),
                retired_at_ms: known.retired_at_ms.or(Some(now_ms)),
            })
            .filter(|known| {
                known
                    .retired_at_ms
                    .is_some_and(|retired| retired >= retired_since_ms)
            })
            .collect();
        keep_the_latest(&mut gone);
        let present = fetched.iter().map(|jwk| KnownKey {
            jwk: jwk.clone(),
            retired_at_ms: None,
        });
        present.chain(gone).collect()
    }
}

/// An issuer that makes up new keys at every look must not fill memory and store.
pub(super) fn keep_the_latest(past: &mut Vec<KnownKey>) {
    past.sort_by_key(|key| std::cmp::Reverse(key.retired_at_ms));
    past.truncate(MOST_PAST_KEYS);
}
