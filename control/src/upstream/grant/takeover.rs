//! What an earlier presentation of the stored refresh token means for the next one. Pure.

use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

use super::record::{GrantRecord, Intent};
use crate::config::IssuerPolicy;
use crate::upstream::policy::Policy;

/// A clock that is further ahead than this is wrong, and what it wrote down is not waited for.
const LARGEST_SKEW_MS: u64 = 300_000;

/// What may be done with a refresh token that is about to be presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takeover {
    /// Present it. `unresolved`: it was presented before, and nobody knows how that ended.
    Present {
        /// The earlier presentation.
        unresolved: Option<Intent>,
    },
    /// The earlier presentation may still be under way: look again after this.
    WaitOut(Duration),
    /// It may have been presented, no process will keep the answer, and this issuer punishes presenting it again: only the
    /// issuer knows whether it is used up.
    Introspect,
}

/// Judges `record`'s stored refresh token at `now_ms`. `observed_ms` is since when this process has known of the unresolved
/// presentation: at a strict issuer it is waited for by this clock alone, whatever the clock of its presenter showed.
#[must_use]
pub fn takeover(
    record: &GrantRecord,
    issuer: IssuerPolicy,
    policy: &Policy,
    observed_ms: Option<u64>,
    now_ms: u64,
) -> Takeover {
    let unresolved = unresolved(record);
    match (issuer, unresolved) {
        (IssuerPolicy::Strict, Some(_)) => {
            let until_ms = observed_ms
                .unwrap_or(now_ms)
                .saturating_add(whole_ms(policy.presentation_limit));
            match until_ms.saturating_sub(now_ms) {
                0 => Takeover::Introspect,
                left_ms => Takeover::WaitOut(Duration::from_millis(left_ms)),
            }
        }
        _ => Takeover::Present {
            unresolved: unresolved.cloned(),
        },
    }
}

/// A presentation of the stored refresh token whose outcome was never written down.
#[must_use]
pub fn unresolved(record: &GrantRecord) -> Option<&Intent> {
    let stored = &record.refresh_token.as_ref()?.fingerprint;
    record
        .intent
        .as_ref()
        .filter(|intent| intent.generation == record.generation && intent.fingerprint == *stored)
}

/// How much longer the presenter of `intent` may still come and keep the good token; `None`: it will not.
#[must_use]
pub fn contended_for(intent: &Intent, policy: &Policy, now_ms: u64) -> Option<Duration> {
    if intent.lost || intent.started_at_ms > now_ms.saturating_add(LARGEST_SKEW_MS) {
        return None;
    }
    let until_ms = intent
        .started_at_ms
        .saturating_add(whole_ms(policy.presentation_limit));
    let left_ms = until_ms.saturating_sub(now_ms);
    (left_ms > 0).then(|| Duration::from_millis(left_ms))
}
