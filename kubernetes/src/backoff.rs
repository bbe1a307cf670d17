//! The delay before the next attempt.

use std::time::Duration;

/// The first delay, before jitter.
const FIRST: Duration = Duration::from_millis(500);
/// The longest delay, before jitter: an API server that is back is noticed within this time and half of it.
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles the delay with each failure.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after another failure: between half and one and a half of a delay that doubles up to fifteen seconds, so
    /// that the watches of all replicas do not come at the same moment. `random` decides where.
    pub fn next(&mut self, random: u16) -> Duration {
        let doubled = FIRST.saturating_mul(1u32 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let delay = doubled.min(LONGEST);
        delay / 2 + delay.mul_f64(f64::from(random) / f64::from(u16::MAX))
    }

    /// The API server answered: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random number; a fixed one if the system has none.
pub(crate) fn random() -> u16 {
    let mut bytes = [0; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u16::from_le_bytes(bytes),
        Err(_) => u16::MAX / 2,
    }
}
