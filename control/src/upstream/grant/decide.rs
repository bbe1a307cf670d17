//! What to do with a grant at a moment: serve, refresh or refuse. Pure.

use std::time::Duration;

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::record::{GrantRecord, GrantState, StoredIdToken};
use crate::digest;
use crate::refused::Refused;
use crate::upstream::streak::{NOT_OAUTH, Streak, StreakKind, left};

/// The configured spans of time that decisions rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// No token is served later than this before its `exp`.
    pub margin: Duration,
    /// A refusing issuer is asked again after this, when somebody else may have rotated the token meanwhile.
    pub suspect_wait: Duration,
    /// How long after its announcement a presenter may still come and keep the issuer's answer.
    pub presentation_limit: Duration,
    /// How long an issuer may fail a refresh until the grant counts as dead.
    pub transient_limit: Duration,
    /// At most one refresh in this span because a server rejected a fresh token.
    pub rejected_interval: Duration,
}

impl Policy {
    /// How long after its announcement a presentation may begin: the announcement's own write, and the look at the store's
    /// line after it. A process that was held up for longer presents nothing: another may have asked the issuer meanwhile.
    #[must_use]
    pub fn announcement_limit(&self) -> Duration {
        self.presentation_limit.saturating_sub(self.suspect_wait)
    }
}

/// What a caller wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Want {
    /// Why it asks.
    pub reason: Reason,
    /// [`super::record::fingerprint`] of the token that it presented.
    pub presented_fingerprint: String,
    /// Since when it is let in.
    pub since: Since,
}

/// What a caller's right to a grant rests on; after a sign-out everywhere it is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Since {
    /// The user's sign-outs when the session was put; `None` for a token without a session.
    pub sign_outs: Option<u64>,
    /// `iat` of the presented token, 0 where it has none; `None` where none is presented.
    pub issued_at_seconds: Option<u64>,
}

impl Since {
    /// Whether the user has signed out everywhere meanwhile, or the grant is not there for anybody.
    #[must_use]
    pub fn is_over(&self, record: &GrantRecord) -> bool {
        let session_over = self.sign_outs.is_some_and(|then| then != record.sign_outs);
        let token_over = match (record.valid_from_seconds, self.issued_at_seconds) {
            (Some(from), Some(issued)) => issued < from,
            _ => false,
        };
        session_over || token_over || matches!(record.state, GrantState::SignedOut { .. })
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Hand out the kept token.
    Serve,
    /// Present the refresh token.
    Refresh,
    /// Neither.
    Refuse(Refused),
}

/// Serve rule: a token whose `exp − margin` is not over.
#[must_use]
pub fn is_fresh(exp_seconds: u64, margin: Duration, now_ms: u64) -> bool {
    exp_seconds.saturating_mul(1000).saturating_sub(whole_ms(margin)) > now_ms
}

/// Whether a token's whole life, by its issuer's own clock, is not longer than `margin`: no clock can take it for fresh.
/// Without `iat` that cannot be told.
#[must_use]
pub fn is_never_fresh(exp_seconds: u64, issued_at_seconds: Option<u64>, margin: Duration) -> bool {
    issued_at_seconds.is_some_and(|issued| exp_seconds.saturating_sub(issued) <= margin.as_secs())
}

/// Whether the token is so near to the end of its use that the next one may be fetched ahead of time.
///
/// `ahead = max(min(60 s, life / 2), 20 % of life)` before `exp − margin`: 60 s for tokens of minutes, a fifth for
/// tokens of hours; up to a tenth of the life earlier still by `spread` (uniform in `0..=u32::MAX`, the same for the
/// same token), so that what was made together is not renewed together; and never more than half of a very short life.
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

/// What to do with `record` for `want` at `now_ms`.
#[must_use]
pub fn decide(record: &GrantRecord, want: &Want, policy: &Policy, now_ms: u64) -> Decision {
    if want.since.is_over(record) {
        return Decision::Refuse(Refusal::UnknownSession.into());
    }
    let fresh = record
        .id_token
        .as_ref()
        .filter(|kept| is_fresh(kept.exp_seconds, policy.margin, now_ms));
    if let Some(kept) = fresh
        && serves(kept, want, policy, now_ms)
    {
        return Decision::Serve;
    }
    match may_refresh(record, fresh.is_some(), want, policy, now_ms) {
        Ok(()) => Decision::Refresh,
        // Ahead of time nothing is lost yet: the kept token is good until its last moment.
        Err(_) if fresh.is_some() && want.reason != Reason::Rejected => Decision::Serve,
        Err(refused) => Decision::Refuse(refused),
    }
}

fn serves(kept: &StoredIdToken, want: &Want, policy: &Policy, now_ms: u64) -> bool {
    match want.reason {
        // Who calls the kept token itself stale has a larger margin than we; near its end that is reason enough.
        Reason::Stale if kept.fingerprint != want.presented_fingerprint => true,
        Reason::Stale | Reason::NearExpiry => {
            let spread = digest::spread(&kept.fingerprint);
            !is_near_expiry(
                kept.exp_seconds,
                kept.issued_at_seconds,
                policy.margin,
                now_ms,
                spread,
            )
        }
        // What the server rejected was an older one.
        Reason::Rejected => kept.fingerprint != want.presented_fingerprint,
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
            if let Some(left) = left(since_ms.saturating_add(wait_ms), wait_ms, now_ms) {
                return Err(Refused::new(Refusal::IssuerUnavailable)
                    .because("another refresh of this login may still be under way")
                    .retry_after(left));
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
        if let Some(left) = left(last_ms.saturating_add(interval_ms), interval_ms, now_ms) {
            return Err(Refused::new(Refusal::Busy)
                .because(
                    "the rejected token is only just made; the server may not know the issuer's new key yet",
                )
                .retry_after(left));
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
        StreakKind::Unreachable | StreakKind::AskedToWait | StreakKind::Failing | StreakKind::Denied => {
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
