//! Exponential backoff without a clock and without jitter: the wait before an attempt follows from its number alone.

use std::time::Duration;

/// Waits that begin at a base, double with each attempt and never exceed a cap.
///
/// Callers that need jitter apply it to [`Backoff::wait_ms`], each in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    base_ms: u64,
    cap_ms: u64,
}

impl Backoff {
    /// A backoff from `base_ms` to `cap_ms`, both in milliseconds. A cap below the base makes every wait the cap.
    #[must_use]
    pub const fn new(base_ms: u64, cap_ms: u64) -> Self {
        Self { base_ms, cap_ms }
    }

    /// The wait in milliseconds after `doublings` doublings: 0 gives the base. Saturates at the cap.
    #[must_use]
    pub const fn wait_ms(self, doublings: u32) -> u64 {
        let factor = match 1_u64.checked_shl(doublings) {
            Some(factor) => factor,
            None => u64::MAX,
        };
        let wait_ms = self.base_ms.saturating_mul(factor);
        if wait_ms < self.cap_ms {
            wait_ms
        } else {
            self.cap_ms
        }
    }

    /// [`Backoff::wait_ms`] as a duration.
    #[must_use]
    pub const fn wait(self, doublings: u32) -> Duration {
        Duration::from_millis(self.wait_ms(doublings))
    }

    /// The base in milliseconds.
    #[must_use]
    pub const fn base_ms(self) -> u64 {
        self.base_ms
    }

    /// The cap in milliseconds.
    #[must_use]
    pub const fn cap_ms(self) -> u64 {
        self.cap_ms
    }
}
