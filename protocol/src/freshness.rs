//! Fresh, near expiry or stale: the one comparison by which the filter and control judge every token.

use std::time::Duration;

use crate::duration::whole_ms;

/// Whether a token that expires at `exp_seconds` (Unix time) may be served at `now_ms` (Unix time): more than `margin`
/// of its life is left.
#[must_use]
pub fn is_fresh(exp_seconds: u64, margin: Duration, now_ms: u64) -> bool {
    outlives(exp_seconds, whole_ms(margin), now_ms)
}

fn outlives(exp_seconds: u64, span_ms: u64, now_ms: u64) -> bool {
    in_ms(exp_seconds).saturating_sub(now_ms) > span_ms
}

/// Unix seconds in milliseconds, the last whole second of their range at the most. A saturating product of 64 bits is a
/// call and seventy instructions in wasm.
#[must_use]
pub fn in_ms(unix_seconds: u64) -> u64 {
    unix_seconds.min(u64::MAX / 1000).wrapping_mul(1000)
}

/// How a token's `exp` compares with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// `exp − margin` has passed: the token must not leave the gateway.
    Stale,
    /// May be forwarded, but expires within `refresh_ahead`: its successor is fetched in the background.
    NearExpiry,
    /// May be forwarded.
    Fresh,
}

/// When a token counts as stale and when as near expiry. The margin is always subtracted from the token's life, because
/// peers verify `exp` without leeway (go-oidc does).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshnessPolicy {
    margin_ms: u64,
    refresh_ahead_ms: u64,
}

/// A policy that could never prefetch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refresh_ahead ({refresh_ahead_ms} ms) must not be shorter than margin ({margin_ms} ms): a token would be stale before it is near expiry"
)]
pub struct RefreshAheadTooShort {
    margin_ms: u64,
    refresh_ahead_ms: u64,
}

impl FreshnessPolicy {
    /// A policy of `margin` (60 s by default in both configurations) and `refresh_ahead`, both before `exp`.
    ///
    /// # Errors
    /// [`RefreshAheadTooShort`] when `refresh_ahead < margin`.
    pub fn new(margin: Duration, refresh_ahead: Duration) -> Result<Self, RefreshAheadTooShort> {
        let (margin_ms, refresh_ahead_ms) = (whole_ms(margin), whole_ms(refresh_ahead));
        if refresh_ahead_ms < margin_ms {
            return Err(RefreshAheadTooShort {
                margin_ms,
                refresh_ahead_ms,
            });
        }
        Ok(Self {
            margin_ms,
            refresh_ahead_ms,
        })
    }

    /// Judges a token that expires at `exp_seconds` (Unix time) at the moment `now_ms` (Unix time).
    #[must_use]
    pub fn judge(&self, exp_seconds: u64, now_ms: u64) -> Freshness {
        if !outlives(exp_seconds, self.margin_ms, now_ms) {
            Freshness::Stale
        } else if !outlives(exp_seconds, self.refresh_ahead_ms, now_ms) {
            Freshness::NearExpiry
        } else {
            Freshness::Fresh
        }
    }

    /// The margin in milliseconds.
    #[must_use]
    pub fn margin_ms(&self) -> u64 {
        self.margin_ms
    }

    /// The end of the time (Unix ms, exclusive) in which a token that expires at `exp_seconds` may be forwarded.
    #[must_use]
    pub fn forward_until_ms(&self, exp_seconds: u64) -> u64 {
        in_ms(exp_seconds).saturating_sub(self.margin_ms)
    }
}
