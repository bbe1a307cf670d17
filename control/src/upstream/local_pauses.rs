//! Pauses of this replica alone. A replica whose clock is wrong judges good tokens as stale, and a login whose access tokens are
//! of no use may have good ID tokens; such a finding must not reach the store, where other replicas and callers would read it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::refusal::Refusal;

use crate::refused::Refused;

/// As long as after a misconfiguration: without a pause every caller would rotate the refresh token again.
const PAUSE: Duration = Duration::from_secs(30);
/// At this many entries, expired ones are removed before a new one is added.
const MAX_PAUSES: usize = 4096;

/// Why there is a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PauseReason {
    /// A new token is stale by this replica's clock although it lives longer than the margin.
    Clock,
    /// An answer to a refresh had no access token that could be used.
    NoAccessToken,
    /// An access token lives no longer than the margin.
    ShortAccessToken,
}

impl PauseReason {
    fn refused(self) -> Refused {
        match self {
            Self::Clock => Refused::new(Refusal::AnswerStale).because(
                "the new token lives long enough, but is stale by this replica's clock: compare the clocks of this \
                 replica and of the issuer (tokenward doctor does)",
            ),
            Self::NoAccessToken => Refused::new(Refusal::IssuerMisconfigured)
                .because("the issuer's answer to the last refresh had no access token that can be used"),
            Self::ShortAccessToken => Refused::new(Refusal::IssuerMisconfigured).because(
                "the issuer's access tokens live no longer than margin: lengthen their life or shorten margin",
            ),
        }
    }
}

/// Paused names, each with its end, Unix ms.
#[derive(Debug, Default)]
pub(crate) struct LocalPauses(Mutex<HashMap<String, (u64, PauseReason)>>);

impl LocalPauses {
    /// Pauses `name` after its new token turned out stale by this replica's clock although it lives longer than the
    /// margin. Returns the refusal for the callers.
    pub(crate) fn stale_on_arrival(&self, name: &str, now_ms: u64) -> Refused {
        self.pause(name, PauseReason::Clock, now_ms)
    }

    /// Pauses `name`. Returns the refusal for the callers.
    pub(crate) fn pause(&self, name: &str, reason: PauseReason, now_ms: u64) -> Refused {
        let mut pauses = self.lock();
        if pauses.len() >= MAX_PAUSES {
            pauses.retain(|_, (until_ms, _)| remaining(*until_ms, now_ms).is_some());
        }
        pauses.insert(name.to_owned(), (now_ms.saturating_add(whole_ms(PAUSE)), reason));
        reason.refused().retry_after(PAUSE)
    }

    /// The refusal while `name` is paused.
    ///
    /// # Errors
    /// That of the pause.
    pub(crate) fn check(&self, name: &str, now_ms: u64) -> Result<(), Refused> {
        let paused = self.lock().get(name).copied();
        match paused.and_then(|(until_ms, reason)| Some((remaining(until_ms, now_ms)?, reason))) {
            Some((rest, reason)) => Err(reason.refused().retry_after(rest)),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (u64, PauseReason)>> {
        // Every statement leaves the map consistent, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rest of a pause; a clock that was set back makes no pause longer.
fn remaining(until_ms: u64, now_ms: u64) -> Option<Duration> {
    let remaining_ms = until_ms.saturating_sub(now_ms);
    (remaining_ms > 0 && remaining_ms <= whole_ms(PAUSE)).then(|| Duration::from_millis(remaining_ms))
}
