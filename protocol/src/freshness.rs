//! Fresh, near expiry or stale: the one comparison that the whole product rests on.

use std::time::Duration;

use crate::duration::whole_ms;

/// Whether a token that expires at `exp_seconds` (Unix time) may be handed out at `now_ms` (Unix time): more than `margin`
/// of its life is left.
#[must_use]
pub fn is_fresh(exp_seconds: u64, margin: Duration, now_ms: u64) -> bool {
    outlives(exp_seconds, whole_ms(margin), now_ms)
}

fn outlives(exp_seconds: u64, span_ms: u64, now_ms: u64) -> bool {
    exp_seconds.saturating_mul(1000).saturating_sub(now_ms) > span_ms
}

/// How a token's `exp` stands against the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// `exp − margin` is over: the token must not leave the gateway.
    Stale,
    /// Still good to forward, but within `refresh_ahead` of its expiry: fetch the next one in the background.
    NearExpiry,
    /// Good to forward.
    Fresh,
}

/// When a token counts as stale and when as near expiry. Skews are never in favour of staleness: the margin
/// is always taken off the token's life, because peers verify `exp` with no leeway (go-oidc does).
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

    /// The last moment (Unix ms, exclusive) at which a token that expires at `exp_seconds` may be forwarded.
    #[must_use]
    pub fn forward_until_ms(&self, exp_seconds: u64) -> u64 {
        exp_seconds.saturating_mul(1000).saturating_sub(self.margin_ms)
    }
}
