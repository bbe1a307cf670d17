//! Since when this process has known of announcements whose outcome is not written down.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::record::GrantRecord;
use super::takeover::unresolved;

/// Remembered announcements; the oldest goes first. One that is forgotten is waited for once more.
const MAX_INTENTS: usize = 8192;

/// One announcement: its holder, whether the holder itself has said that the answer is lost, and since when it is known.
#[derive(Debug)]
struct ObservedIntent {
    holder: String,
    lost: bool,
    since_ms: u64,
}

/// The announcements that this process has observed.
#[derive(Debug, Default)]
pub struct ObservedIntents {
    observed: Mutex<VecDeque<ObservedIntent>>,
}

impl ObservedIntents {
    /// Since when the unresolved announcement of `record` has been known here, Unix ms; `now_ms` where it is observed for the
    /// first time. That its answer is lost is news: from then on it is waited for once more, because the request may still
    /// be under way at the issuer.
    pub fn observe(&self, record: &GrantRecord, now_ms: u64) -> Option<u64> {
        let intent = unresolved(record)?;
        // Whole after every statement; a panic elsewhere does not spoil it.
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = observed
            .iter()
            .find(|known| known.holder == intent.holder && known.lost == intent.lost);
        if let Some(known) = known {
            // A clock that was set back must not make the wait longer than it is.
            return Some(known.since_ms.min(now_ms));
        }
        if observed.len() >= MAX_INTENTS {
            observed.pop_front();
        }
        observed.push_back(ObservedIntent {
            holder: intent.holder.clone(),
            lost: intent.lost,
            since_ms: now_ms,
        });
        Some(now_ms)
    }
}
