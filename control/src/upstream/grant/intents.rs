//! Since when this process has known the announcements whose outcome was never written.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::record::GrantRecord;
use super::takeover::unresolved;

/// Capacity; the oldest is dropped first. One that was dropped is waited for once more.
const MAX_INTENTS: usize = 8192;

/// One announcement: its holder, whether the holder reported its answer as lost, and since when this process has known
/// it.
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
    /// Since when this process has known the unresolved announcement of `record`, Unix ms; `now_ms` if it is new. A
    /// report that its answer is lost restarts the wait, because the request may still be in progress at the issuer.
    pub fn observe(&self, record: &GrantRecord, now_ms: u64) -> Option<u64> {
        let intent = unresolved(record)?;
        // Every statement leaves the queue consistent, so a panic elsewhere does not spoil it.
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = observed
            .iter()
            .find(|known| known.holder == intent.holder && known.lost == intent.lost);
        if let Some(known) = known {
            // A clock that was set back must not lengthen the wait.
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
