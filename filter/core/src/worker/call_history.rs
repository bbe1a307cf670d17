//! Which presented tokens deserve a call to control, as far as one worker knows.

use crate::identity::{PairKey, TokenKey};
use crate::last_seen::LastSeen;

/// How long after it was denied a call a token counts as returning. A client's second is a little shorter than the
/// filter's.
const RETURNS_AFTER_MS: std::ops::RangeInclusive<u64> = 750..=300_000;

/// What one worker knows of the tokens presented to it.
#[derive(Debug, Default)]
pub(super) struct CallHistory {
    /// Presented tokens for which control gave a token, and their pairs; when, Unix ms.
    accepted: LastSeen,
    /// When a token was denied a call, Unix ms.
    denied: LastSeen,
}

impl CallHistory {
    /// Whether control has given a token for this one.
    pub(super) fn is_accepted(&self, key: &TokenKey) -> bool {
        self.accepted.get(key).is_some()
    }

    /// Whether control has given a token for one of this pair.
    pub(super) fn is_accepted_pair(&self, pair: &PairKey) -> bool {
        self.accepted.get(pair).is_some()
    }

    /// Control has given a token for this one.
    pub(super) fn note_accepted(&mut self, key: &TokenKey, pair: PairKey, now_ms: u64) {
        self.accepted.set(key, now_ms);
        self.accepted.set(pair, now_ms);
    }

    /// Whether this token was denied a call a moment ago.
    pub(super) fn is_returning(&self, key: &TokenKey, now_ms: u64) -> bool {
        let denied_ms = self.denied.get(key);
        denied_ms.is_some_and(|at_ms| RETURNS_AFTER_MS.contains(&now_ms.saturating_sub(at_ms)))
    }

    /// This token is denied a call. The first denial counts until it is too long ago.
    pub(super) fn note_denied(&mut self, key: &TokenKey, now_ms: u64) {
        let denied_ms = self.denied.get(key);
        if denied_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) > *RETURNS_AFTER_MS.end()) {
            self.denied.set(key, now_ms);
        }
    }

    /// This token was permitted a call.
    pub(super) fn forget_denial(&mut self, key: &TokenKey) {
        self.denied.set(key, 0);
    }
}
