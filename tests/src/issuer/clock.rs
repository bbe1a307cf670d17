//! The issuer's own idea of the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Wall clock plus an offset that tests move. Clones share the offset, so several issuers and servers can live in
/// one time.
#[derive(Debug, Clone, Default)]
pub struct IssuerClock {
    offset_ms: Arc<AtomicI64>,
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

    /// Unix time in milliseconds.
    pub fn now_ms(&self) -> i64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        milliseconds(wall) + self.offset_ms.load(Ordering::SeqCst)
    }

    /// Unix time in whole seconds.
    pub fn now_seconds(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
