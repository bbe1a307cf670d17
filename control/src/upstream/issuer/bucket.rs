//! A token bucket: limits the calls to an issuer per second, with bursts. Pure.

use std::time::Duration;

/// Calls per second, and how many can start at once after a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    interval_us: u64,
    burst: u64,
    /// When the bucket is full again, Unix µs.
    full_at_us: u64,
}

impl Bucket {
    /// A full bucket. Zero counts as 1 for both numbers.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            interval_us: 1_000_000 / u64::from(per_second.max(1)),
            burst: u64::from(burst.max(1)),
            full_at_us: 0,
        }
    }

    /// A full bucket that gains one token each `interval` and holds `burst`. Zero counts as 1 µs and 1.
    #[must_use]
    pub fn every(interval: Duration, burst: u32) -> Self {
        Self {
            interval_us: u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1),
            burst: u64::from(burst.max(1)),
            full_at_us: 0,
        }
    }

    /// Whether nothing was taken from the bucket that has not been gained again.
    #[must_use]
    pub fn is_full(&self, now_ms: u64) -> bool {
        self.full_at_us <= now_ms.saturating_mul(1000)
    }

    /// Takes one token for a call.
    ///
    /// # Errors
    /// The time until a token is available.
    pub fn take(&mut self, now_ms: u64) -> Result<(), Duration> {
        let now_us = now_ms.saturating_mul(1000);
        let depth_us = self.interval_us.saturating_mul(self.burst);
        // A clock that was set back must not delay calls for longer.
        if self.full_at_us > now_us.saturating_add(depth_us) {
            self.full_at_us = now_us;
        }
        let filled_at_us = self.full_at_us.max(now_us).saturating_add(self.interval_us);
        let early_us = filled_at_us.saturating_sub(now_us.saturating_add(depth_us));
        if early_us > 0 {
            return Err(Duration::from_micros(early_us));
        }
        self.full_at_us = filled_at_us;
        Ok(())
    }
}
