//! When a token that is still fresh is renewed ahead of time. Pure.

use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

/// Whether a token's whole life, by its issuer's own clock, is at most `margin`, so that it is stale by any clock.
/// False without `iat`.
#[must_use]
pub fn is_never_fresh(exp_seconds: u64, issued_at_seconds: Option<u64>, margin: Duration) -> bool {
    issued_at_seconds.is_some_and(|issued| exp_seconds.saturating_sub(issued) <= margin.as_secs())
}

/// Whether a token is so near to the end of its use that its successor may be fetched ahead of time.
///
/// `ahead = max(min(60 s, life / 2), 20 % of life)` before `exp − margin`: 60 s for tokens of minutes, a fifth for
/// tokens of hours. `spread` (uniform in `0..=u32::MAX`, constant for a token) adds up to a tenth of the life, so that
/// tokens made together are not renewed together. The total is at most half of a very short life.
#[must_use]
pub fn is_near_expiry(
    exp_seconds: u64,
    issued_at_seconds: Option<u64>,
    margin: Duration,
    now_ms: u64,
    spread: u32,
) -> bool {
    const LIFE_WITHOUT_IAT_SECONDS: u64 = 300;
    let life_ms = issued_at_seconds
        .map_or(LIFE_WITHOUT_IAT_SECONDS, |issued| {
            exp_seconds.saturating_sub(issued)
        })
        .saturating_mul(1000);
    let spread_ms = (life_ms / 10).saturating_mul(u64::from(spread)) / u64::from(u32::MAX);
    let ahead_ms = (life_ms / 2)
        .min(60_000)
        .max(life_ms / 5)
        .saturating_add(spread_ms)
        .min(life_ms / 2);
    let left_ms = exp_seconds
        .saturating_mul(1000)
        .saturating_sub(whole_ms(margin))
        .saturating_sub(now_ms);
    left_ms <= ahead_ms
}
