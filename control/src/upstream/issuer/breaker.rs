//! A circuit breaker: an issuer that fails everybody is left alone for a while, then asked by one. Pure.

use std::time::Duration;

use tokenward_protocol::backoff::Backoff;
use tokenward_protocol::duration::whole_ms;

/// So many different grants must have failed, without one answer in between: what one user's login is refused for says
/// nothing about the issuer.
const FEWEST_GRANTS: usize = 5;
/// How long it stays open; doubles with each probe that fails, with jitter. The cap is low so that a recovery is noticed
/// soon.
const OPEN: Backoff = Backoff::new(5_000, 60_000);
/// The longest that an issuer's `Retry-After` keeps it open.
const LONGEST_RETRY_AFTER_MS: u64 = 300_000;
/// When those who find a probe under way may come again.
const PROBE_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Calls pass. Whose calls failed since the last answer.
    Closed {
        failed: Vec<u64>,
    },
    Open {
        until_ms: u64,
        opened: u32,
    },
    /// One is under way.
    Probing {
        opened: u32,
    },
}

/// What is worth a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitChange {
    /// Calls are held back from now on.
    Opened,
    /// Calls pass again.
    Closed,
}

/// The breaker of one issuer, in one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    state: State,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed { failed: Vec::new() },
        }
    }
}

impl Breaker {
    /// Whether a call would be held back at `now_ms`, and for how long.
    #[must_use]
    pub fn open_for(&self, now_ms: u64) -> Option<Duration> {
        match &self.state {
            State::Closed { .. } => None,
            State::Probing { .. } => Some(PROBE_WAIT),
            State::Open { until_ms, .. } => {
                // A clock that was set back must not hold calls back for as long.
                let left_ms = until_ms.saturating_sub(now_ms).min(LONGEST_RETRY_AFTER_MS);
                (left_ms > 0).then(|| Duration::from_millis(left_ms))
            }
        }
    }

    /// Lets a call pass; the first one after the open time is the probe.
    ///
    /// # Errors
    /// [`Breaker::open_for`].
    pub fn admit(&mut self, now_ms: u64) -> Result<(), Duration> {
        if let Some(left) = self.open_for(now_ms) {
            return Err(left);
        }
        if let State::Open { opened, .. } = self.state {
            self.state = State::Probing { opened };
        }
        Ok(())
    }

    /// The issuer answered, whatever it said.
    pub fn answered(&mut self) -> Option<CircuitChange> {
        let before = std::mem::replace(&mut self.state, State::Closed { failed: Vec::new() });
        (!matches!(before, State::Closed { .. })).then_some(CircuitChange::Closed)
    }

    /// The issuer failed the call for `grant`; `asked` is its `Retry-After`, `jitter` uniform in `0..=u32::MAX`.
    pub fn failed(
        &mut self,
        grant: u64,
        retry_after: Option<Duration>,
        now_ms: u64,
        jitter: u32,
    ) -> Option<CircuitChange> {
        let opened = match &mut self.state {
            State::Closed { failed } => {
                if !failed.contains(&grant) {
                    failed.push(grant);
                }
                if failed.len() < FEWEST_GRANTS {
                    return None;
                }
                0
            }
            // A call that was under way when it opened: known already.
            State::Open { .. } => return None,
            State::Probing { opened } => opened.saturating_add(1),
        };
        let ceiling_ms = OPEN.wait_ms(opened);
        let own_ms = ceiling_ms / 2 + ceiling_ms / 2 * u64::from(jitter) / u64::from(u32::MAX);
        let asked_ms = retry_after.map_or(0, whole_ms).min(LONGEST_RETRY_AFTER_MS);
        self.state = State::Open {
            until_ms: now_ms.saturating_add(own_ms.max(asked_ms)),
            opened,
        };
        (opened == 0).then_some(CircuitChange::Opened)
    }

    /// A call that was let pass was not made. Was it the probe, the next one is.
    pub fn abandoned(&mut self) {
        if let State::Probing { opened } = self.state {
            self.state = State::Open { until_ms: 0, opened };
        }
    }
}
