//! Limits calls to one issuer: calls in flight, a [pace](super::pace) and a circuit breaker.
//!
//! Each process has its own: shared limits would need the store for every call, and the load that they protect an issuer
//! from (a herd at a restart, a retry storm) grows with the callers, not with the replicas.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::health::{Health, lock};
use super::pace::{Pace, Urgency};
use crate::clock::Clock;
use crate::config::IssuerLimits;
use crate::observe::metrics::Metrics;

pub use super::health::{CallOutcome, LastCall, Throttled};

/// The limits of calls to one issuer, in one process.
#[derive(Debug)]
pub struct CallLimits {
    limits: IssuerLimits,
    longest_wait: Duration,
    slots: Arc<Semaphore>,
    pace: Mutex<Pace>,
    health: Arc<Health>,
}

/// A snapshot of [`CallLimits`], for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsState {
    /// The limits.
    pub limits: IssuerLimits,
    /// Set while the circuit is open.
    pub circuit: Option<Throttled>,
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls that were not made since the circuit last opened.
    pub suspended_calls: u64,
    /// `None`: no call has ended.
    pub last_call: Option<LastCall>,
}

impl CallLimits {
    /// The limits of calls to `issuer`, in which a call waits for its turn for `longest_wait` at most: no calls made yet,
    /// circuit closed.
    #[must_use]
    pub fn new(
        issuer: String,
        limits: IssuerLimits,
        longest_wait: Duration,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self {
            limits,
            longest_wait,
            slots: slots(limits),
            pace: Mutex::new(Pace::new(limits, longest_wait)),
            health: Arc::new(Health::new(issuer, clock, metrics)),
        }
    }

    /// Those of the same issuer after a change of the configuration: the same if nothing changed; else with the issuer's health
    /// and with the calls that were made. Calls in flight end under the limits under which they began.
    #[must_use]
    pub fn succeeded_by(self: &Arc<Self>, limits: IssuerLimits, longest_wait: Duration) -> Arc<Self> {
        if (limits, longest_wait) == (self.limits, self.longest_wait) {
            return Arc::clone(self);
        }
        let now_ms = self.health.clock.now_ms();
        let pace = lock(&self.pace).succeeded_by(limits, longest_wait, now_ms);
        Arc::new(Self {
            limits,
            longest_wait,
            slots: slots(limits),
            pace: Mutex::new(pace),
            health: Arc::clone(&self.health),
        })
    }

    /// Waits for a permit for one call for the grant with this digest.
    ///
    /// # Errors
    /// [`Throttled`].
    pub async fn acquire(self: &Arc<Self>, grant: &str, urgency: Urgency) -> Result<Permit, Throttled> {
        let health = &self.health;
        let throttled = |reason, retry_after| {
            health.suspended(reason);
            Throttled { reason, retry_after }
        };
        let suspended = |open: Throttled| {
            health.suspended("circuit");
            open
        };
        if let Some(open) = health.circuit_open() {
            return Err(suspended(open));
        }
        let grant = number_of(grant);
        let until = Instant::now() + self.longest_wait;
        let admitted = lock(&self.pace).admit(grant, urgency, health.clock.now_ms());
        match admitted {
            Ok(wait) if wait.is_zero() => {}
            Ok(wait) => tokio::time::sleep(wait).await,
            Err(wait) => return Err(throttled("rate", wait)),
        }
        let Ok(Ok(slot)) = tokio::time::timeout_at(until, Arc::clone(&self.slots).acquire_owned()).await
        else {
            let wait = lock(&self.pace).without_slot(grant, health.clock.now_ms());
            return Err(throttled("queue", wait));
        };
        health.admit().map_err(suspended)?;
        Ok(Permit {
            limits: Arc::clone(self),
            grant,
            begun: Instant::now(),
            recorded: false,
            _slot: slot,
        })
    }

    /// How long the circuit stays open because the issuer fails for all logins; `None`: it is closed.
    #[must_use]
    pub fn circuit_open(&self) -> Option<Throttled> {
        self.health.circuit_open()
    }

    /// What the limits have seen and hold back now.
    #[must_use]
    pub fn state(&self) -> LimitsState {
        let most = usize::try_from(self.limits.concurrent_calls).unwrap_or(usize::MAX);
        LimitsState {
            limits: self.limits,
            circuit: self.circuit_open(),
            in_flight: most.saturating_sub(self.slots.available_permits()),
            suspended_calls: self.health.suspended_calls(),
            last_call: self.health.last_call(),
        }
    }
}

fn slots(limits: IssuerLimits) -> Arc<Semaphore> {
    let most = usize::try_from(limits.concurrent_calls).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
}

/// The first 64 bits of a grant's digest.
fn number_of(grant: &str) -> u64 {
    let hex = grant.get(..16);
    hex.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0)
}

/// A permit for one call. Dropping it without [`Permit::record`] means that the call was not made.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<CallLimits>,
    grant: u64,
    begun: Instant,
    recorded: bool,
    _slot: OwnedSemaphorePermit,
}

impl Permit {
    /// Records how the call ended.
    pub fn record(mut self, outcome: CallOutcome) {
        self.recorded = true;
        lock(&self.limits.pace).ended(self.begun.elapsed());
        self.limits.health.record(self.grant, outcome);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.recorded {
            self.limits.health.abandoned();
        }
    }
}
