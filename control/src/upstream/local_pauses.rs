//! What this replica alone leaves alone for a while. A replica whose clock is wrong takes good tokens for stale; what it
//! concludes from that is its own business and is never written where the others would read it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::refusal::Refusal;

use crate::refused::Refused;

/// As long as after a fault of a configuration: without it every caller would rotate the refresh token again.
const PAUSE: Duration = Duration::from_secs(30);
/// Beyond this many, those that are over are forgotten.
const MANY: usize = 4096;

/// For people: what a token that is stale on its arrival says.
const CLOCKS: &str = "the new token lives long enough, but is stale by this replica's clock: compare the clocks of this replica and \
                      of the issuer (tokenward doctor does)";

/// The names that are remaining alone, each until a moment.
#[derive(Debug, Default)]
pub(crate) struct LocalPauses(Mutex<HashMap<String, u64>>);

impl LocalPauses {
    /// A token came for `name` that is stale by this replica's clock, though it lives longer than the margin. What its
    /// callers get.
    pub(crate) fn stale_on_arrival(&self, name: &str, now_ms: u64) -> Refused {
        let mut pauses = self.lock();
        if pauses.len() >= MANY {
            pauses.retain(|_, until_ms| remaining(*until_ms, now_ms).is_some());
        }
        pauses.insert(name.to_owned(), now_ms.saturating_add(whole_ms(PAUSE)));
        Refused::new(Refusal::AnswerStale)
            .because(CLOCKS)
            .retry_after(PAUSE)
    }

    /// The refusal while `name` is remaining alone.
    ///
    /// # Errors
    /// [`Refusal::AnswerStale`].
    pub(crate) fn check(&self, name: &str, now_ms: u64) -> Result<(), Refused> {
        let until_ms = self.lock().get(name).copied();
        match until_ms.and_then(|until_ms| remaining(until_ms, now_ms)) {
            Some(remaining) => Err(Refused::new(Refusal::AnswerStale)
                .because(CLOCKS)
                .retry_after(remaining)),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        // Whole after every statement; a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is remaining; a clock that was set back makes no pause longer.
fn remaining(until_ms: u64, now_ms: u64) -> Option<Duration> {
    let remaining_ms = until_ms.saturating_sub(now_ms);
    (remaining_ms > 0 && remaining_ms <= whole_ms(PAUSE)).then(|| Duration::from_millis(remaining_ms))
}
