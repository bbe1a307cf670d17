//! Limits calls to one issuer: a concurrency cap, a token bucket and a circuit breaker.
//!
//! Each process has its own: shared limits would need the store for every call, and the load that they protect an issuer
//! from (a herd at a restart, a retry storm) grows with the callers, not with the replicas.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokenward_protocol::refusal::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::answer::Transient;
use super::breaker::{Breaker, CircuitChange};
use super::bucket::Bucket;
use crate::clock::Clock;
use crate::observe::metrics::Metrics;
use crate::refused::Refused;
use crate::upstream::streak::{NOT_OAUTH, StreakKind, is_lasting, jitter};

/// Concurrent calls to one issuer.
const MAX_CONCURRENT: usize = 32;
/// Sustained calls per second.
const PER_SECOND: u32 = 100;
/// Calls that can start at once after a pause.
const BURST: u32 = 200;
/// How long a call waits for a permit: shorter than its caller waits.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(3);
/// `Retry-After` for a call that waited in vain for a free slot.
const QUEUE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limits of calls to one issuer, in one process.
#[derive(Debug)]
pub struct CallLimits {
    issuer: String,
    slots: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
    breaker: Mutex<Breaker>,
    intermediary: Mutex<IntermediaryAnswers>,
    throttled_calls: AtomicU64,
    last_call: Mutex<Option<LastCall>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// The run of answers of an intermediary (a proxy, firewall or load balancer) without one of the issuer in between. It
/// lasts by the rule of [`Streak::is_lasting`]; while the circuit is open, each login makes too few calls for its own
/// streak to show that.
///
/// [`Streak::is_lasting`]: crate::upstream::streak::Streak::is_lasting
#[derive(Debug, Default)]
struct IntermediaryAnswers {
    since_ms: u64,
    count: u32,
}

impl IntermediaryAnswers {
    fn record(&mut self, outcome: CallOutcome, now_ms: u64) {
        match outcome {
            CallOutcome::Answer => self.count = 0,
            CallOutcome::Failure { .. } => {}
            CallOutcome::NotOauth { .. } => {
                if self.count == 0 {
                    self.since_ms = now_ms;
                }
                self.count = self.count.saturating_add(1);
            }
        }
    }

    fn are_lasting(&self, now_ms: u64) -> bool {
        is_lasting(self.count, now_ms.saturating_sub(self.since_ms))
    }
}

/// Why a call is not made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// `circuit`, `rate` or `queue`; `in_between` while the circuit is open because an intermediary has answered in the
    /// issuer's place for long.
    pub reason: &'static str,
    /// When another attempt can succeed.
    pub retry_after: Duration,
}

impl Throttled {
    /// The refusal for callers: `refusal`, or the configuration fault of the same kind for `in_between`.
    #[must_use]
    pub fn refused(self, refusal: Refusal) -> Refused {
        let refusal = match (self.reason, refusal) {
            ("in_between", Refusal::IssuerUnavailable) => Refusal::IssuerMisconfigured,
            ("in_between", Refusal::ExchangeUnavailable) => Refusal::ExchangeMisconfigured,
            (_, refusal) => refusal,
        };
        let cause = match self.reason {
            "in_between" => NOT_OAUTH,
            "circuit" => "the issuer fails for all logins; calls to it are suspended for a while",
            "rate" => "too many logins are refreshed at this issuer at once",
            _ => "the issuer is slow, and too many calls wait for it",
        };
        Refused::new(refusal).because(cause).retry_after(self.retry_after)
    }
}

/// The most recent call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCall {
    /// When, Unix ms.
    pub at_ms: u64,
    /// How.
    pub outcome: CallOutcome,
}

/// A snapshot of [`CallLimits`], for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsState {
    /// Set while the circuit is open.
    pub circuit: Option<Throttled>,
    /// Calls in flight, of [`LimitsState::MAX_IN_FLIGHT`].
    pub in_flight: usize,
    /// Calls that were not made since the circuit last opened.
    pub suspended_calls: u64,
    /// `None`: no call has ended.
    pub last_call: Option<LastCall>,
}

impl LimitsState {
    /// Concurrent calls that are permitted.
    pub const MAX_IN_FLIGHT: usize = MAX_CONCURRENT;
    /// Sustained calls per second that are permitted.
    pub const PER_SECOND: u32 = PER_SECOND;
}

/// What a call shows about the issuer's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The issuer answered.
    Answer,
    /// It did not answer, or reported a failure of its own.
    Failure {
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// An intermediary answered, without OAuth.
    NotOauth {
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl From<&Transient> for CallOutcome {
    fn from(passing: &Transient) -> Self {
        let retry_after = passing.retry_after;
        match passing.kind {
            StreakKind::NotOauth => Self::NotOauth { retry_after },
            _ => Self::Failure { retry_after },
        }
    }
}

impl CallLimits {
    /// The limits of calls to `issuer`: no calls made yet, circuit closed.
    #[must_use]
    pub fn new(issuer: String, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        metrics.issuer_circuit(&issuer, false);
        Self {
            issuer,
            slots: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            bucket: Mutex::new(Bucket::new(PER_SECOND, BURST)),
            breaker: Mutex::default(),
            intermediary: Mutex::default(),
            throttled_calls: AtomicU64::new(0),
            last_call: Mutex::default(),
            clock,
            metrics,
        }
    }

    /// Waits for a permit for one call for the grant with this digest, at most [`MAX_QUEUE_TIME`].
    ///
    /// # Errors
    /// [`Throttled`].
    pub async fn acquire(self: &Arc<Self>, grant: &str) -> Result<Permit, Throttled> {
        let throttled = |reason, retry_after| {
            self.throttled_calls.fetch_add(1, Ordering::Relaxed);
            self.metrics.issuer_held_back(&self.issuer, reason);
            let reason = if reason == "circuit" {
                self.open_reason()
            } else {
                reason
            };
            Throttled { reason, retry_after }
        };
        let until = Instant::now() + MAX_QUEUE_TIME;
        if let Some(left) = lock(&self.breaker).open_for(self.clock.now_ms()) {
            return Err(throttled("circuit", left));
        }
        loop {
            let taken = lock(&self.bucket).take(self.clock.now_ms());
            match taken {
                Ok(()) => break,
                Err(wait) if Instant::now() + wait > until => return Err(throttled("rate", wait)),
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
        let Ok(Ok(slot)) = tokio::time::timeout_at(until, Arc::clone(&self.slots).acquire_owned()).await
        else {
            return Err(throttled("queue", QUEUE_RETRY_AFTER));
        };
        if let Err(left) = lock(&self.breaker).admit(self.clock.now_ms()) {
            return Err(throttled("circuit", left));
        }
        Ok(Permit {
            limits: Arc::clone(self),
            grant: grant
                .get(..16)
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                .unwrap_or(0),
            recorded: false,
            _slot: slot,
        })
    }

    /// How long the circuit stays open because the issuer fails for all logins; `None`: it is closed.
    #[must_use]
    pub fn circuit_open(&self) -> Option<Throttled> {
        let retry_after = lock(&self.breaker).open_for(self.clock.now_ms())?;
        Some(Throttled {
            reason: self.open_reason(),
            retry_after,
        })
    }

    /// What the limits have seen and hold back now.
    #[must_use]
    pub fn state(&self) -> LimitsState {
        LimitsState {
            circuit: self.circuit_open(),
            in_flight: MAX_CONCURRENT.saturating_sub(self.slots.available_permits()),
            suspended_calls: self.throttled_calls.load(Ordering::Relaxed),
            last_call: *lock(&self.last_call),
        }
    }

    fn open_reason(&self) -> &'static str {
        if lock(&self.intermediary).are_lasting(self.clock.now_ms()) {
            "in_between"
        } else {
            "circuit"
        }
    }

    fn note_circuit(&self, change: Option<CircuitChange>) {
        match change {
            Some(CircuitChange::Opened) => {
                self.throttled_calls.store(0, Ordering::Relaxed);
                self.metrics.issuer_circuit(&self.issuer, true);
                tracing::warn!(
                    issuer = self.issuer,
                    "issuer circuit opened: calls are suspended, one probe at a time"
                );
            }
            Some(CircuitChange::Closed) => {
                self.metrics.issuer_circuit(&self.issuer, false);
                let held_back = self.throttled_calls.swap(0, Ordering::Relaxed);
                tracing::info!(
                    issuer = self.issuer,
                    held_back,
                    "issuer circuit closed: the issuer answers again"
                );
            }
            None => {}
        }
    }
}

/// A permit for one call. Dropping it without [`Permit::record`] means that the call was not made.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<CallLimits>,
    grant: u64,
    recorded: bool,
    _slot: OwnedSemaphorePermit,
}

impl Permit {
    /// Records how the call ended.
    pub fn record(mut self, outcome: CallOutcome) {
        self.recorded = true;
        let limits = &self.limits;
        *lock(&limits.last_call) = Some(LastCall {
            at_ms: limits.clock.now_ms(),
            outcome,
        });
        lock(&limits.intermediary).record(outcome, limits.clock.now_ms());
        let change = match outcome {
            CallOutcome::Answer => lock(&limits.breaker).answered(),
            CallOutcome::Failure { retry_after } | CallOutcome::NotOauth { retry_after } => {
                lock(&limits.breaker).failed(self.grant, retry_after, limits.clock.now_ms(), jitter())
            }
        };
        limits.note_circuit(change);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.recorded {
            lock(&self.limits.breaker).abandoned();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // The value is consistent after every statement, so a panic while the lock is held cannot corrupt it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
