//! The issuer's own idea of the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Not a time that any wall clock shows.
const WALKS: i64 = i64::MIN;

/// Wall clock plus an offset that tests move. Clones share it, so several issuers and servers can live in one time.
#[derive(Debug, Clone)]
pub struct IssuerClock {
    offset_ms: Arc<AtomicI64>,
    /// What the wall clock showed when this one was stopped.
    stopped_ms: Arc<AtomicI64>,
}

impl Default for IssuerClock {
    fn default() -> Self {
        Self {
            offset_ms: Arc::default(),
            stopped_ms: Arc::new(AtomicI64::new(WALKS)),
        }
    }
}

impl IssuerClock {
    /// Moves this clock and all its clones forward.
    pub fn advance(&self, by: Duration) {
        self.offset_ms.fetch_add(milliseconds(by), Ordering::SeqCst);
    }

    /// Moves this clock and all its clones back.
    pub fn rewind(&self, by: Duration) {
        self.offset_ms.fetch_sub(milliseconds(by), Ordering::SeqCst);
    }

    /// Stops this clock and all its clones: only a test moves them from now on, and a machine that stands still for some
    /// seconds changes nothing.
    pub fn stop(&self) {
        let walks = self
            .stopped_ms
            .compare_exchange(WALKS, wall_ms(), Ordering::SeqCst, Ordering::SeqCst);
        // Stopped before: the first moment counts.
        let _ = walks;
    }

    /// Unix time in milliseconds.
    pub fn now_ms(&self) -> i64 {
        let wall_ms = match self.stopped_ms.load(Ordering::SeqCst) {
            WALKS => wall_ms(),
            stopped_ms => stopped_ms,
        };
        wall_ms + self.offset_ms.load(Ordering::SeqCst)
    }

    /// Unix time in whole seconds.
    pub fn now_seconds(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}

fn wall_ms() -> i64 {
    milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
