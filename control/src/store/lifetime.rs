//! Conversion of a value's lifetime to the unit of both engines.

use std::time::Duration;

/// A hundred years: far beyond any configured lifetime, and far below the point where adding it to the current time
/// could overflow in either engine.
const MAX_LIFETIME_MS: u64 = 100 * 365 * 24 * 3600 * 1000;

/// `lifetime` in whole milliseconds, at least 1: Valkey refuses a lease of 0 ms.
pub(super) fn lifetime_ms(lifetime: Duration) -> u64 {
    tokenward_protocol::duration::whole_ms(lifetime).clamp(1, MAX_LIFETIME_MS)
}
