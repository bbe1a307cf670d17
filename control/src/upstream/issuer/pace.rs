//! The order of the calls to an issuer: those that users wait for before those ahead of time, and each in its turn. Pure.

use std::time::Duration;

use tokenward_protocol::token_endpoint::Reason;

use super::bucket::Bucket;
use super::turns::Turns;
use crate::config::IssuerLimits;

/// How urgent a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A request waits for it.
    Waiting,
    /// No request waits yet: the token that there is can be used for some more time.
    AheadOfTime,
}

impl Urgency {
    /// That of a call that a token request with this reason needs.
    #[must_use]
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::Stale | Reason::Rejected => Self::Waiting,
            Reason::NearExpiry => Self::AheadOfTime,
        }
    }
}

/// The pace of calls to one issuer.
#[derive(Debug)]
pub struct Pace {
    limits: IssuerLimits,
    longest_wait: Duration,
    bucket: Bucket,
    turns: Turns,
    /// What a call took lately.
    call: Duration,
}

impl Pace {
    /// A pace within `limits`, at which a call waits for `longest_wait` at most.
    #[must_use]
    pub fn new(limits: IssuerLimits, longest_wait: Duration) -> Self {
        let bucket = Bucket::new(limits.calls_per_second, limits.burst).with_longest_wait(longest_wait);
        Self {
            limits,
            longest_wait,
            bucket,
            turns: Turns::default(),
            call: Duration::ZERO,
        }
    }

    /// The pace within other limits, after the calls that this one has let through.
    #[must_use]
    pub fn succeeded_by(&self, limits: IssuerLimits, longest_wait: Duration, now_ms: u64) -> Self {
        let next = Self::new(limits, longest_wait);
        let missing = self.bucket.missing(now_ms);
        Self {
            bucket: next.bucket.without(missing, now_ms),
            call: self.call,
            ..next
        }
    }

    /// The time after which a call for `grant` may begin. While others wait for their turns, a new caller has half of the queue.
    ///
    /// # Errors
    /// The time after which it may be tried again.
    pub fn admit(&mut self, grant: u64, urgency: Urgency, now_ms: u64) -> Result<Duration, Duration> {
        let others_wait = self.turns.are_waited_for(now_ms);
        if urgency == Urgency::AheadOfTime {
            let is_busy = self.bucket.missing(now_ms).saturating_mul(2) >= u64::from(self.limits.burst);
            if others_wait || is_busy {
                return Err(self.longest_wait);
            }
        }
        let is_new = others_wait && !self.turns.has_come(grant, now_ms);
        let longest_wait = if is_new {
            self.longest_wait / 2
        } else {
            self.longest_wait
        };
        match self.bucket.reserve(longest_wait, now_ms) {
            Ok(wait) => {
                self.turns.taken(grant);
                Ok(wait)
            }
            Err(wait) => Err(self.turn(grant, wait, now_ms)),
        }
    }

    /// The time after which a call for `grant` may be tried again that got no slot.
    pub fn without_slot(&mut self, grant: u64, now_ms: u64) -> Duration {
        self.turn(grant, Duration::from_secs(1), now_ms)
    }

    /// A call ended after `took`.
    pub fn ended(&mut self, took: Duration) {
        self.call = (self.call * 7 + took) / 8;
    }

    /// An issuer that is slower than the limits finishes a call whenever one of those in flight ends.
    fn turn(&mut self, grant: u64, soonest: Duration, now_ms: u64) -> Duration {
        let of_slots = self.call / self.limits.concurrent_calls.max(1);
        let interval = self.bucket.interval().max(of_slots);
        self.turns.of(grant, soonest, interval, now_ms)
    }
}
