//! The limits of calls to one issuer in one replica: the product's bucket and breaker, and the flights that wait for them.
//!
//! The product's callers wait by timers and try again, so that any of them may be the next. Here they go on in the order in
//! which they came; the numbers of calls that are made and held back are the same.

use std::collections::VecDeque;
use std::time::Duration;

use tokenward_control::upstream::issuer::breaker::Breaker;
use tokenward_control::upstream::issuer::bucket::Bucket;

use crate::options::IssuerLimits;

/// How long a call waits for a permit (`MAX_QUEUE_TIME` of the product).
const LONGEST_WAIT_MS: u64 = 3_000;
/// `Retry-After` after a wait in vain for one of the concurrent calls.
const QUEUE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why no call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldBack {
    /// Too many calls in a second.
    Rate,
    /// Too many calls at a time.
    Queue,
    /// The circuit is open.
    Circuit,
}

/// What becomes of a flight that wants to call.
pub(super) type Permission = (u32, Result<(), (HeldBack, Duration)>);

/// The limits.
#[derive(Debug)]
pub(super) struct Limits {
    bucket: Bucket,
    breaker: Breaker,
    concurrent: u32,
    in_flight: u32,
    /// Flights that wait for the rate, and those that wait for a free call, with the ends of their waits.
    for_rate: VecDeque<(u32, u64)>,
    for_slot: VecDeque<(u32, u64)>,
}

impl Limits {
    /// Limits without a call so far.
    pub(super) fn new(limits: IssuerLimits) -> Self {
        Self {
            bucket: Bucket::new(limits.per_second, limits.burst),
            breaker: Breaker::default(),
            concurrent: limits.concurrent,
            in_flight: 0,
            for_rate: VecDeque::new(),
            for_slot: VecDeque::new(),
        }
    }

    /// A flight wants to call. [`Limits::proceed`] decides.
    pub(super) fn ask(&mut self, flight: u32, now_ms: u64) {
        self.for_rate.push_back((flight, now_ms + LONGEST_WAIT_MS));
    }

    /// Everything that is decided by `now_ms`, and when to look again.
    pub(super) fn proceed(&mut self, now_ms: u64) -> (Vec<Permission>, Option<u64>) {
        let (mut decided, mut again_ms) = (Vec::new(), None);
        while let Some((flight, until_ms)) = self.for_rate.front().copied() {
            if let Some(left) = self.breaker.open_for(now_ms) {
                decided.push((flight, Err((HeldBack::Circuit, left))));
            } else {
                match self.bucket.take(now_ms) {
                    Ok(()) => self.for_slot.push_back((flight, until_ms)),
                    Err(wait) => {
                        let then_ms = now_ms + (wait.as_micros() as u64).div_ceil(1000).max(1);
                        if then_ms > until_ms {
                            decided.push((flight, Err((HeldBack::Rate, wait))));
                        } else {
                            again_ms = Some(then_ms);
                            break;
                        }
                    }
                }
            }
            self.for_rate.pop_front();
        }
        while let Some((flight, until_ms)) = self.for_slot.front().copied() {
            let is_full = self.in_flight >= self.concurrent;
            if is_full && until_ms > now_ms {
                again_ms = Some(again_ms.map_or(until_ms, |at_ms: u64| at_ms.min(until_ms)));
                break;
            }
            self.for_slot.pop_front();
            if is_full {
                decided.push((flight, Err((HeldBack::Queue, QUEUE_RETRY_AFTER))));
                continue;
            }
            match self.breaker.admit(now_ms) {
                Ok(()) => {
                    self.in_flight += 1;
                    decided.push((flight, Ok(())));
                }
                Err(left) => decided.push((flight, Err((HeldBack::Circuit, left)))),
            }
        }
        (decided, again_ms)
    }

    /// A permitted call was not made.
    pub(super) fn abandoned(&mut self) {
        self.in_flight -= 1;
        self.breaker.abandoned();
    }

    /// A call was answered.
    pub(super) fn answered(&mut self) {
        self.in_flight -= 1;
        let _ = self.breaker.answered();
    }
}
