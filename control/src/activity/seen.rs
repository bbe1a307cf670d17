//! What was recorded a moment ago, so that a busy pair costs the store nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

/// Pairs that are remembered; beyond it all are forgotten, which costs a write of each again.
const MOST: usize = 16_384;
/// How long the record of a served pair need not be written again. Shorter than its lifetime in the store.
const SERVED_AGAIN_MS: u64 = 30 * 60 * 1000;
/// The same for a refused one, whose cause may have changed.
const REFUSED_AGAIN_MS: u64 = 60 * 1000;
/// Pairs that a replica writes in one second: with their lifetimes it bounds what they take in the store.
const WRITES_PER_SECOND: u32 = 20;

/// So many in one window of time.
#[derive(Debug)]
pub(super) struct Allowance {
    window_ms: u64,
    most: u32,
    /// The start of the present window, Unix ms, and what was taken in it.
    taken: Mutex<(u64, u32)>,
}

impl Allowance {
    pub(super) const fn new(window_ms: u64, most: u32) -> Self {
        Self {
            window_ms,
            most,
            taken: Mutex::new((0, 0)),
        }
    }

    /// Whether no more is allowed at `now_ms`.
    fn is_used_up(&self, now_ms: u64) -> bool {
        let (start_ms, count) = *self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        now_ms.abs_diff(start_ms) < self.window_ms && count >= self.most
    }

    /// Whether one more is allowed at `now_ms`. A clock that was set back begins a new window.
    pub(super) fn take(&self, now_ms: u64) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (start_ms, count) = *taken;
        if now_ms.abs_diff(start_ms) >= self.window_ms {
            *taken = (now_ms, 1);
            return true;
        }
        let allowed = count < self.most;
        if allowed {
            *taken = (start_ms, count + 1);
        }
        allowed
    }
}

/// The pairs of this process that were recorded lately.
#[derive(Debug)]
pub(super) struct SeenPairs {
    hasher: RandomState,
    /// Whether the pair was served, and when that was recorded, Unix ms.
    pairs: Mutex<HashMap<u64, (bool, u64)>>,
    writes: Allowance,
}

impl Default for SeenPairs {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            pairs: Mutex::default(),
            writes: Allowance::new(1000, WRITES_PER_SECOND),
        }
    }
}

impl SeenPairs {
    pub(super) fn hash(&self, parts: impl Hash) -> u64 {
        self.hasher.hash_one(parts)
    }

    /// Whether `seen` was recorded as served, and not too long ago.
    pub(super) fn is_served(&self, seen: u64, now_ms: u64) -> bool {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs
            .get(&seen)
            .is_some_and(|(is_served, at_ms)| *is_served && now_ms.abs_diff(*at_ms) < SERVED_AGAIN_MS)
    }

    /// Whether none may be written at `now_ms`: what is not recorded yet has to wait.
    pub(super) fn is_used_up(&self, now_ms: u64) -> bool {
        self.writes.is_used_up(now_ms)
    }

    /// Whether the outcome of `seen` is to be recorded now; if so, it counts as recorded.
    pub(super) fn is_due(&self, seen: u64, is_served: bool, now_ms: u64) -> bool {
        let again_ms = if is_served {
            SERVED_AGAIN_MS
        } else {
            REFUSED_AGAIN_MS
        };
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = pairs
            .get(&seen)
            .is_some_and(|(before, at_ms)| *before == is_served && now_ms.abs_diff(*at_ms) < again_ms);
        if is_recent || !self.writes.take(now_ms) {
            return false;
        }
        if pairs.len() >= MOST && !pairs.contains_key(&seen) {
            pairs.clear();
        }
        pairs.insert(seen, (is_served, now_ms));
        true
    }
}

#[cfg(test)]
mod tests;
