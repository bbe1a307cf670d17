//! How long a value may live, in the unit that both engines count in.

use std::time::Duration;

/// A hundred years: far beyond any lifetime that means something, and far below where adding it to the
/// present could overflow in either engine.
const LONGEST_MS: u64 = 100 * 365 * 24 * 3600 * 1000;

/// `lifetime` in whole milliseconds, at least 1: Valkey refuses a lease of 0 ms.
pub(super) fn lifetime_ms(lifetime: Duration) -> u64 {
    tokenward_protocol::duration::whole_ms(lifetime).clamp(1, LONGEST_MS)
}
