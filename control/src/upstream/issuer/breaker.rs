//! A circuit breaker: suspends calls to an issuer that fails for all logins, then lets single probes through. Pure.

use std::time::Duration;

use tokenward_protocol::backoff::Backoff;
use tokenward_protocol::duration::whole_ms;

/// The circuit opens when calls for this many different grants have failed in a row: the failures of one user's login say
/// nothing about the issuer.
const MIN_FAILED_GRANTS: usize = 5;
/// How long the circuit stays open; doubles with each failed probe, with jitter. The cap is low so that a recovery is noticed
/// within a minute.
const OPEN: Backoff = Backoff::new(5_000, 60_000);
/// The longest open time that an issuer's `Retry-After` causes.
const LONGEST_RETRY_AFTER_MS: u64 = 300_000;
/// `Retry-After` for calls during a probe.
const PROBE_RETRY_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Calls pass. The grants whose calls failed since the issuer's last answer.
    Closed { failed: Vec<u64> },
    /// No call passes. `opened` counts the failed probes.
    Open { until_ms: u64, opened: u32 },
    /// One call, the probe, is in flight.
    Probing { opened: u32 },
}

/// A change of the circuit, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitChange {
    /// Calls are suspended from now on.
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
    /// How long calls are still suspended at `now_ms`; `None` if they pass.
    #[must_use]
    pub fn open_for(&self, now_ms: u64) -> Option<Duration> {
        match &self.state {
            State::Closed { .. } => None,
            State::Probing { .. } => Some(PROBE_RETRY_AFTER),
            State::Open { until_ms, .. } => {
                // A clock that was set back must not suspend calls for longer.
                let left_ms = until_ms.saturating_sub(now_ms).min(LONGEST_RETRY_AFTER_MS);
                (left_ms > 0).then(|| Duration::from_millis(left_ms))
            }
        }
    }

    /// Lets a call pass; the first after the open time is the probe.
    ///
    /// # Errors
    /// The wait of [`Breaker::open_for`].
    pub fn admit(&mut self, now_ms: u64) -> Result<(), Duration> {
        if let Some(left) = self.open_for(now_ms) {
            return Err(left);
        }
        if let State::Open { opened, .. } = self.state {
            self.state = State::Probing { opened };
        }
        Ok(())
    }

    /// The issuer answered, with any content.
    pub fn answered(&mut self) -> Option<CircuitChange> {
        let before = std::mem::replace(&mut self.state, State::Closed { failed: Vec::new() });
        (!matches!(before, State::Closed { .. })).then_some(CircuitChange::Closed)
    }

    /// The call for `grant` failed. `retry_after` is the issuer's `Retry-After`, `jitter` is uniform in `0..=u32::MAX`.
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
                if failed.len() < MIN_FAILED_GRANTS {
                    return None;
                }
                0
            }
            // The call was in flight when the circuit opened.
            State::Open { .. } => return None,
            State::Probing { opened } => opened.saturating_add(1),
        };
        let ceiling_ms = OPEN.wait_ms(opened);
        let own_ms = ceiling_ms / 2 + ceiling_ms / 2 * u64::from(jitter) / u64::from(u32::MAX);
        let retry_after_ms = retry_after.map_or(0, whole_ms).min(LONGEST_RETRY_AFTER_MS);
        self.state = State::Open {
            until_ms: now_ms.saturating_add(own_ms.max(retry_after_ms)),
            opened,
        };
        (opened == 0).then_some(CircuitChange::Opened)
    }

    /// An admitted call was not made. If it was the probe, the next call is the probe.
    pub fn abandoned(&mut self) {
        if let State::Probing { opened } = self.state {
            self.state = State::Open { until_ms: 0, opened };
        }
    }
}
