//! What the calls to one issuer have shown of it, in one process. It outlives a change of the limits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenward_protocol::refusal::Refusal;

use super::answer::Transient;
use super::breaker::{Breaker, CircuitChange};
use crate::clock::Clock;
use crate::observe::metrics::Metrics;
use crate::refused::Refused;
use crate::upstream::streak::{NOT_OAUTH, StreakKind, is_lasting, jitter};

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

/// The health of one issuer.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) issuer: String,
    pub(super) clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
    intermediary: Mutex<IntermediaryAnswers>,
    suspended_calls: AtomicU64,
    last_call: Mutex<Option<LastCall>>,
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

impl Health {
    /// An issuer that was not called yet.
    pub(super) fn new(issuer: String, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        metrics.issuer_circuit(&issuer, false);
        Self {
            issuer,
            clock,
            breaker: Mutex::default(),
            intermediary: Mutex::default(),
            suspended_calls: AtomicU64::new(0),
            last_call: Mutex::default(),
            metrics,
        }
    }

    /// How long the circuit stays open; `None`: it is closed.
    pub(super) fn circuit_open(&self) -> Option<Throttled> {
        let retry_after = lock(&self.breaker).open_for(self.clock.now_ms())?;
        Some(Throttled {
            reason: self.open_reason(),
            retry_after,
        })
    }

    /// The circuit is closed, or the call is the probe.
    pub(super) fn admit(&self) -> Result<(), Throttled> {
        let admitted = lock(&self.breaker).admit(self.clock.now_ms());
        admitted.map_err(|retry_after| Throttled {
            reason: self.open_reason(),
            retry_after,
        })
    }

    /// A call is not made, for this reason: `circuit`, `rate` or `queue`.
    pub(super) fn suspended(&self, reason: &'static str) {
        self.suspended_calls.fetch_add(1, Ordering::Relaxed);
        self.metrics.issuer_held_back(&self.issuer, reason);
    }

    /// Calls that were not made since the circuit last opened.
    pub(super) fn suspended_calls(&self) -> u64 {
        self.suspended_calls.load(Ordering::Relaxed)
    }

    /// The most recent call that ended.
    pub(super) fn last_call(&self) -> Option<LastCall> {
        *lock(&self.last_call)
    }

    /// A call for the grant of this number has ended.
    pub(super) fn record(&self, grant: u64, outcome: CallOutcome) {
        let now_ms = self.clock.now_ms();
        *lock(&self.last_call) = Some(LastCall {
            at_ms: now_ms,
            outcome,
        });
        lock(&self.intermediary).record(outcome, now_ms);
        let change = match outcome {
            CallOutcome::Answer => lock(&self.breaker).answered(),
            CallOutcome::Failure { retry_after } | CallOutcome::NotOauth { retry_after } => {
                lock(&self.breaker).failed(grant, retry_after, now_ms, jitter())
            }
        };
        self.note_circuit(change);
    }

    /// An admitted call was not made.
    pub(super) fn abandoned(&self) {
        lock(&self.breaker).abandoned();
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
                self.suspended_calls.store(0, Ordering::Relaxed);
                self.metrics.issuer_circuit(&self.issuer, true);
                tracing::warn!(
                    issuer = self.issuer,
                    "issuer circuit opened: calls are suspended, one probe at a time"
                );
            }
            Some(CircuitChange::Closed) => {
                self.metrics.issuer_circuit(&self.issuer, false);
                let held_back = self.suspended_calls.swap(0, Ordering::Relaxed);
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The value is consistent after every statement, so a panic while the lock is held cannot corrupt it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
