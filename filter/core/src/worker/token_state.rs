//! What one worker remembers of presented tokens that had trouble: rejections by servers, failed prefetches.

use crate::digest_map::DigestMap;
use crate::identity::TokenKey;

/// How long a token that a server rejected is not forwarded there again, in milliseconds.
const REJECTED_MS: u64 = 300_000;
/// The same where control has no login from which another token could be made: only the server can change its mind.
const REJECTED_WITHOUT_LOGIN_MS: u64 = 30_000;
/// No prefetch pauses for longer, in milliseconds.
const LONGEST_PREFETCH_PAUSE_MS: u64 = 600_000;
/// Token states; past that all are dropped, which costs one early prefetch or one more rejection each.
const MOST_STATES: usize = 4096;

/// The state of one presented token within a pair.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TokenState {
    /// When the next prefetch may start after one that brought nothing, Unix ms.
    prefetch_after_ms: u64,
    /// Rejections by the server in a row; the second is one of a newly made token.
    rejections: u32,
    /// All rejections counted: a request sent before the last of them is no news about the token made since.
    rejections_counted: u32,
    /// Until when the presented token is not forwarded again because the server rejected it, Unix ms.
    rejected_until_ms: u64,
}

/// The states of one worker's tokens.
#[derive(Debug, Default)]
pub(super) struct TokenStates(DigestMap<TokenKey, TokenState>);

impl TokenStates {
    fn entry(&mut self, key: TokenKey) -> &mut TokenState {
        if self.0.len() >= MOST_STATES {
            self.0.clear();
        }
        self.0.entry(key).or_default()
    }

    /// [`TokenState::rejections_counted`] of a token.
    pub(super) fn rejections_counted(&self, key: &TokenKey) -> u32 {
        self.0.get(key).map_or(0, |state| state.rejections_counted)
    }

    /// Whether the server has rejected this token within [`REJECTED_MS`] although it looked fresh.
    pub(super) fn is_rejected(&self, key: &TokenKey, now_ms: u64) -> bool {
        // A moment further away than the span means that the clock stepped back.
        let until_ms = self.0.get(key).map_or(0, |state| state.rejected_until_ms);
        (1..=REJECTED_MS).contains(&until_ms.saturating_sub(now_ms))
    }

    /// Whether the server has rejected newly made tokens too.
    pub(super) fn rejects_new_tokens(&self, key: &TokenKey) -> bool {
        self.0.get(key).is_some_and(|state| state.rejections > 1)
    }

    /// Counts a rejection. Returns how many there are in a row.
    pub(super) fn note_rejection(&mut self, key: TokenKey, now_ms: u64) -> u32 {
        // After its time is over the presented token was forwarded again, so it is the one that was rejected, not a newly
        // made one.
        let is_presented = !self.is_rejected(&key, now_ms);
        let state = self.entry(key);
        if is_presented {
            state.rejections = 0;
        }
        state.rejected_until_ms = now_ms.saturating_add(REJECTED_MS);
        state.rejections = state.rejections.saturating_add(1);
        state.rejections_counted = state.rejections_counted.saturating_add(1);
        state.rejections
    }

    /// Control cannot replace the rejected token, so it is tried again sooner.
    pub(super) fn note_irreplaceable(&mut self, key: &TokenKey, now_ms: u64) {
        if let Some(state) = self.0.get_mut(key) {
            let until_ms = now_ms.saturating_add(REJECTED_WITHOUT_LOGIN_MS);
            state.rejected_until_ms = state.rejected_until_ms.min(until_ms);
        }
    }

    /// The server accepts a newly made token after it had rejected others. The presented one stays rejected.
    pub(super) fn note_acceptance(&mut self, key: &TokenKey) {
        if let Some(state) = self.0.get_mut(key) {
            state.rejections = 1;
        }
    }

    /// Whether a prefetch for this token failed a moment ago.
    pub(super) fn is_prefetch_paused(&self, key: &TokenKey, now_ms: u64) -> bool {
        // A moment further away than any pause can be means that the clock stepped back.
        let after_ms = self.0.get(key).map_or(0, |state| state.prefetch_after_ms);
        (1..=LONGEST_PREFETCH_PAUSE_MS).contains(&after_ms.saturating_sub(now_ms))
    }

    /// Starts no prefetch for this token before `after_ms`, Unix ms.
    pub(super) fn pause_prefetch(&mut self, key: TokenKey, after_ms: u64) {
        self.entry(key).prefetch_after_ms = after_ms;
    }

    /// Lets the next prefetch start at once.
    pub(super) fn resume_prefetch(&mut self, key: &TokenKey) {
        // No state is made for it: a full map drops rejections.
        if let Some(state) = self.0.get_mut(key) {
            state.prefetch_after_ms = 0;
        }
    }
}
