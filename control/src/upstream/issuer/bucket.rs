//! A token bucket: limits the calls to an issuer per second, with bursts. Pure.

use std::time::Duration;

/// Calls per second, how many can start at once after a pause, and how long one may wait for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    interval_us: u64,
    burst: u64,
    longest_wait_us: u64,
    /// When the bucket is full again, Unix µs.
    full_at_us: u64,
}

impl Bucket {
    /// A full bucket. Zero counts as 1 for both numbers.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self::every(Duration::from_secs(1) / per_second.max(1), burst)
    }

    /// A full bucket that gains one token each `interval` and holds `burst`. Zero counts as 1 µs and 1.
    #[must_use]
    pub fn every(interval: Duration, burst: u32) -> Self {
        Self {
            interval_us: whole_us(interval).max(1),
            burst: u64::from(burst.max(1)),
            longest_wait_us: 0,
            full_at_us: 0,
        }
    }

    /// With tokens that are reserved up to `longest_wait` before there are any.
    #[must_use]
    pub fn with_longest_wait(mut self, longest_wait: Duration) -> Self {
        self.longest_wait_us = whole_us(longest_wait);
        self
    }

    /// From token to token.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_micros(self.interval_us)
    }

    /// Whether nothing was taken from the bucket that has not been gained again.
    #[must_use]
    pub fn is_full(&self, now_ms: u64) -> bool {
        self.full_at_us <= now_ms.saturating_mul(1000)
    }

    /// Tokens that were taken and have not been gained again; more than the bucket holds while some are reserved.
    #[must_use]
    pub fn missing(&self, now_ms: u64) -> u64 {
        let missing_us = self.full_at_us.saturating_sub(now_ms.saturating_mul(1000));
        missing_us.div_ceil(self.interval_us)
    }

    /// With so many tokens missing.
    #[must_use]
    pub fn without(mut self, missing: u64, now_ms: u64) -> Self {
        let most = self.burst + self.longest_wait_us / self.interval_us;
        let missing_us = missing.min(most).saturating_mul(self.interval_us);
        self.full_at_us = now_ms.saturating_mul(1000).saturating_add(missing_us);
        self
    }

    /// Takes one token for a call.
    ///
    /// # Errors
    /// The time until a token is available.
    pub fn take(&mut self, now_ms: u64) -> Result<(), Duration> {
        self.reserve(Duration::ZERO, now_ms).map(drop)
    }

    /// Takes one token for a call that begins after the returned time, at most `longest_wait`. Calls get their turns in the
    /// order of their reservations.
    ///
    /// # Errors
    /// The time until a token is available.
    pub fn reserve(&mut self, longest_wait: Duration, now_ms: u64) -> Result<Duration, Duration> {
        let now_us = now_ms.saturating_mul(1000);
        let depth_us = self.interval_us.saturating_mul(self.burst);
        // A clock that was set back must not delay calls for longer.
        let latest_us = now_us
            .saturating_add(depth_us)
            .saturating_add(self.longest_wait_us);
        if self.full_at_us > latest_us {
            self.full_at_us = now_us;
        }
        let filled_at_us = self.full_at_us.max(now_us).saturating_add(self.interval_us);
        let early_us = filled_at_us.saturating_sub(now_us.saturating_add(depth_us));
        let wait = Duration::from_micros(early_us);
        if early_us > whole_us(longest_wait).min(self.longest_wait_us) {
            return Err(wait);
        }
        self.full_at_us = filled_at_us;
        Ok(wait)
    }
}

fn whole_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
