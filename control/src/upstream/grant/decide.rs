//! What to do with a grant at a moment: serve, refresh or refuse. Pure.

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::record::{GrantRecord, GrantState, StoredIdToken};
use crate::digest;
use crate::refused::Refused;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::policy::Policy;
use crate::upstream::renewal::is_near_expiry;
use crate::upstream::streak::{NOT_OAUTH, Streak, StreakKind, remaining};

/// What a caller wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Want {
    /// Why it asks.
    pub reason: Reason,
    /// [`super::record::fingerprint`] of the token that it presented.
    pub presented_fingerprint: String,
    /// Since when it is let in.
    pub entitlement: Entitlement,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Hand out the stored token.
    Serve,
    /// Present the refresh token.
    Refresh,
    /// Neither.
    Refuse(Refused),
}

/// What to do with `record` for `want` at `now_ms`.
#[must_use]
pub fn decide(record: &GrantRecord, want: &Want, policy: &Policy, now_ms: u64) -> Decision {
    if want.entitlement.is_revoked(record) {
        return Decision::Refuse(Refusal::UnknownSession.into());
    }
    let fresh = record
        .id_token
        .as_ref()
        .filter(|stored| is_fresh(stored.exp_seconds, policy.margin, now_ms));
    if let Some(stored) = fresh
        && serves(stored, want, policy, now_ms)
    {
        return Decision::Serve;
    }
    match may_refresh(record, fresh.is_some(), want, policy, now_ms) {
        Ok(()) => Decision::Refresh,
        // Ahead of time nothing is lost yet: the stored token is good until its last moment.
        Err(_) if fresh.is_some() && want.reason != Reason::Rejected => Decision::Serve,
        Err(refused) => Decision::Refuse(refused),
    }
}

fn serves(stored: &StoredIdToken, want: &Want, policy: &Policy, now_ms: u64) -> bool {
    match want.reason {
        // Who calls the stored token itself stale has a larger margin than we; near its end that is reason enough.
        Reason::Stale if stored.fingerprint != want.presented_fingerprint => true,
        Reason::Stale | Reason::NearExpiry => {
            let spread = digest::spread(&stored.fingerprint);
            !is_near_expiry(
                stored.exp_seconds,
                stored.issued_at_seconds,
                policy.margin,
                now_ms,
                spread,
            )
        }
        // What the server rejected was an older one.
        Reason::Rejected => stored.fingerprint != want.presented_fingerprint,
    }
}

fn may_refresh(
    record: &GrantRecord,
    fresh: bool,
    want: &Want,
    policy: &Policy,
    now_ms: u64,
) -> Result<(), Refused> {
    match record.state {
        GrantState::Active => {}
        GrantState::SignedOut { .. } => return Err(Refusal::UnknownSession.into()),
        GrantState::Dead { reason, .. } => {
            return Err(Refused::new(Refusal::NeedsLogin).because(reason.says()));
        }
        GrantState::Suspect { since_ms } => {
            let wait_ms = whole_ms(policy.suspect_wait);
            if let Some(wait) = remaining(since_ms.saturating_add(wait_ms), wait_ms, now_ms) {
                return Err(Refused::new(Refusal::IssuerUnavailable)
                    .because("another refresh of this login may still be under way")
                    .retry_after(wait));
            }
        }
    }
    if record.refresh_token.is_none() {
        return Err(Refused::new(Refusal::NeedsLogin)
            .because("the login came without a refresh token; ask the issuer for the scope offline_access"));
    }
    if let Some(streak) = &record.failures
        && let Some(wait) = streak.wait(now_ms)
    {
        return Err(of_streak(streak).retry_after(wait));
    }
    if fresh && want.reason == Reason::Rejected {
        let last_ms = record.refreshed_at_ms.unwrap_or(record.logged_in_at_ms);
        let interval_ms = whole_ms(policy.rejected_interval);
        if let Some(wait) = remaining(last_ms.saturating_add(interval_ms), interval_ms, now_ms) {
            return Err(Refused::new(Refusal::Busy)
                .because(
                    "the rejected token is only just made; the server may not know the issuer's new key yet",
                )
                .retry_after(wait));
        }
    }
    Ok(())
}

/// The refusal while a streak lasts.
#[must_use]
pub fn of_streak(streak: &Streak) -> Refused {
    match streak.kind {
        StreakKind::Misconfigured => Refused::new(Refusal::IssuerMisconfigured),
        StreakKind::Unusable => Refused::new(Refusal::IssuerMisconfigured)
            .because("the new ID token of the last refresh could not be read or verified; a WARN says why"),
        StreakKind::Substituted => Refused::new(Refusal::Substitution),
        StreakKind::NotOauth if streak.is_lasting() => {
            Refused::new(Refusal::IssuerMisconfigured).because(NOT_OAUTH)
        }
        StreakKind::NotOauth => Refused::new(Refusal::IssuerUnavailable).because(NOT_OAUTH),
        StreakKind::Unreachable | StreakKind::RetryAfter | StreakKind::Failing | StreakKind::Denied => {
            Refused::new(Refusal::IssuerUnavailable)
        }
    }
}

/// Whether `streak` has lasted so long that only a new login can help. An issuer that cannot be reached says
/// nothing about a login, however long that lasts; one that answers and fails this refresh every time does (a dead
/// connector behind Dex is 500 for ever).
#[must_use]
pub fn is_hopeless(streak: &Streak, policy: &Policy, now_ms: u64) -> bool {
    /// One failure before a long silence and one after it are not a streak.
    const FEWEST: u32 = 3;
    streak.kind == StreakKind::Failing
        && streak.same_kind >= FEWEST
        && now_ms.saturating_sub(streak.since_ms) > whole_ms(policy.transient_limit)
}
