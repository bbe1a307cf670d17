//! The decision about a grant at a given time: serve, refresh or refuse. Pure.

use std::time::Duration;

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::record::{GrantRecord, GrantState, StoredIdToken};
use super::relayed::Origin;
use crate::digest;
use crate::refused::Refused;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::issuer::pace::Urgency;
use crate::upstream::policy::Policy;
use crate::upstream::renewal::is_near_expiry;
use crate::upstream::streak::{NO_ID_TOKEN, NOT_OAUTH, Streak, StreakKind, remaining};

/// `rejected_interval`s for which a stored token answers requests whose rejected token may be it or an older one. While servers
/// do not know an issuer's new key they reject new tokens too, and each login would get one in every interval.
const REPLACEMENT_INTERVALS: u32 = 10;

/// What a caller wants of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Demand {
    /// The ID token, for a server.
    IdToken {
        /// Why.
        reason: Reason,
        /// [`super::record::fingerprint`] of the token that the caller presented.
        presented_fingerprint: String,
    },
    /// The access token, for a server or as the subject of an exchange.
    AccessToken {
        /// Why.
        reason: Reason,
    },
    /// The whole token response, for a client that refreshes through the relay.
    Response {
        /// Fingerprint of the refresh token that the client presented.
        presented_fingerprint: String,
    },
}

/// What a caller wants, and its right to that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Want {
    /// What it wants.
    pub demand: Demand,
    /// The caller's right to the grant.
    pub entitlement: Entitlement,
}

impl Want {
    /// The ID token, for `reason`, by a caller that presented the token with this fingerprint.
    #[must_use]
    pub fn id_token(
        reason: Reason,
        presented_fingerprint: impl Into<String>,
        entitlement: Entitlement,
    ) -> Self {
        Self {
            demand: Demand::IdToken {
                reason,
                presented_fingerprint: presented_fingerprint.into(),
            },
            entitlement,
        }
    }

    /// The access token, for `reason`.
    #[must_use]
    pub fn access_token(reason: Reason, entitlement: Entitlement) -> Self {
        Self {
            demand: Demand::AccessToken { reason },
            entitlement,
        }
    }

    /// The token response, by a client that presented the refresh token with this fingerprint. The token itself is its
    /// right.
    #[must_use]
    pub fn response(presented_fingerprint: impl Into<String>) -> Self {
        Self {
            demand: Demand::Response {
                presented_fingerprint: presented_fingerprint.into(),
            },
            entitlement: Entitlement::default(),
        }
    }

    /// The urgency of the call to the issuer that it needs.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match &self.demand {
            Demand::IdToken { reason, .. } | Demand::AccessToken { reason } => Urgency::of(*reason),
            Demand::Response { .. } => Urgency::Waiting,
        }
    }

    /// Whether a client waits for the token response.
    #[must_use]
    pub fn is_for_client(&self) -> bool {
        matches!(self.demand, Demand::Response { .. })
    }

    /// Whether nothing but the ID token helps.
    #[must_use]
    pub fn is_for_id_token(&self) -> bool {
        matches!(self.demand, Demand::IdToken { .. })
    }
}

/// What to do with a grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Serve the stored token.
    Serve,
    /// Present the refresh token.
    Refresh,
    /// Refuse.
    Refuse(Refused),
}

/// The decision about `record` for `want` at `now_ms`.
#[must_use]
pub fn decide(record: &GrantRecord, want: &Want, policy: &Policy, now_ms: u64) -> Decision {
    if want.entitlement.is_revoked(record) {
        return Decision::Refuse(Refusal::UnknownSession.into());
    }
    // Its tokens are presented under the user's own grant, which the caller finds when it tries again.
    if let Origin::Moved { .. } = record.relayed.origin {
        return Decision::Refuse(overtaken());
    }
    match &want.demand {
        Demand::IdToken {
            reason,
            presented_fingerprint,
        } => decide_id_token(record, *reason, presented_fingerprint, policy, now_ms),
        Demand::AccessToken { reason } => decide_access_token(record, *reason, policy, now_ms),
        Demand::Response {
            presented_fingerprint,
        } => decide_response(record, presented_fingerprint, policy, now_ms),
    }
}

/// The refusal of a caller whose grant changed under it.
fn overtaken() -> Refused {
    Refused::new(Refusal::Busy).retry_after(Duration::from_secs(1))
}

/// The response for a client that presented the refresh token `presented`: the stored one if it is young, else that of a
/// new refresh. While the issuer is not available, a client with an older token gets the stored one as long as it is fresh.
fn decide_response(record: &GrantRecord, presented: &str, policy: &Policy, now_ms: u64) -> Decision {
    // A newer login, or another client's token.
    if !record.is_of_chain(presented) {
        return Decision::Refuse(overtaken());
    }
    if let Err(refused) = is_alive(record) {
        return Decision::Refuse(refused);
    }
    let response = record.usable_response();
    if response.is_some_and(|response| response.answers(record.has_newest(presented), now_ms)) {
        return Decision::Serve;
    }
    // An answer without an ID token is a whole answer for a client.
    let streak = (record.failures.as_ref()).filter(|streak| streak.kind != StreakKind::NoIdToken);
    match may_refresh(record, streak, policy, now_ms) {
        Ok(()) => Decision::Refresh,
        // A client that presents the newest refresh token has this response already: as a success it would have the client
        // wait for a life that is nearly over.
        Err(_)
            if !record.has_newest(presented)
                && response.is_some_and(|response| response.is_fresh(policy.margin, now_ms)) =>
        {
            Decision::Serve
        }
        Err(_) if is_client_probe(record, policy, now_ms) => Decision::Refresh,
        Err(refused) => Decision::Refuse(refused),
    }
}

/// Whether a client may try an issuer again that could not be reached. Its own token may end, and with it the login, before
/// the pause that servers' requests have earned.
fn is_client_probe(record: &GrantRecord, policy: &Policy, now_ms: u64) -> bool {
    /// Time from the last failure to a client's next try.
    const CLIENT_PAUSE_MS: u64 = 5_000;
    let is_unreachable =
        (record.failures.as_ref()).is_some_and(|streak| streak.kind == StreakKind::Unreachable);
    is_unreachable
        && may_refresh(record, None, policy, now_ms).is_ok()
        && remaining(
            record.last_used_at_ms.saturating_add(CLIENT_PAUSE_MS),
            CLIENT_PAUSE_MS,
            now_ms,
        )
        .is_none()
}

fn decide_id_token(
    record: &GrantRecord,
    reason: Reason,
    presented: &str,
    policy: &Policy,
    now_ms: u64,
) -> Decision {
    let fresh = record
        .id_token
        .as_ref()
        .filter(|stored| is_fresh(stored.exp_seconds, policy.margin, now_ms));
    if let Some(stored) = fresh
        && serves(record, stored, (reason, presented), policy, now_ms)
    {
        return Decision::Serve;
    }
    let is_rejected = fresh.is_some() && reason == Reason::Rejected;
    // It may be the rejected token, and may be one that its server has not seen: better than none.
    let is_other = fresh.is_some_and(|stored| stored.fingerprint != presented);
    let allowed = may_refresh(record, record.failures.as_ref(), policy, now_ms);
    match allowed.and_then(|()| may_replace_rejected(record, is_rejected, policy, now_ms)) {
        Ok(()) => Decision::Refresh,
        // Ahead of time nothing is lost: the stored token can be served until it is stale.
        Err(_) if fresh.is_some() && (reason != Reason::Rejected || is_other) => Decision::Serve,
        Err(refused) => Decision::Refuse(refused),
    }
}

fn serves(
    record: &GrantRecord,
    stored: &StoredIdToken,
    (reason, presented): (Reason, &str),
    policy: &Policy,
    now_ms: u64,
) -> bool {
    match reason {
        // A caller that judges the stored token itself as stale has a larger margin; near the token's end that is
        // reason enough.
        Reason::Stale if stored.fingerprint != presented => true,
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
        // The request names the presented token, and what the server rejected may be its replacement, the stored one.
        Reason::Rejected => {
            let interval = policy.rejected_interval * REPLACEMENT_INTERVALS;
            stored.fingerprint != presented && left_of_interval(record, interval, now_ms).is_some()
        }
    }
}

/// The access token: the caller's presented token is never the one that it gets, so the request does not name a rejected one.
fn decide_access_token(record: &GrantRecord, reason: Reason, policy: &Policy, now_ms: u64) -> Decision {
    let kept = record.access_token();
    let fresh = kept.filter(|token| token.is_fresh(policy.margin, now_ms));
    let serves = fresh.is_some_and(|token| match reason {
        Reason::Stale => true,
        Reason::NearExpiry => !token.is_near_expiry(policy.margin, now_ms),
        // A token this new answers an earlier request with the same reason.
        Reason::Rejected => left_of_rejected_interval(record, policy, now_ms).is_some(),
    });
    if serves {
        return Decision::Serve;
    }
    match may_refresh(record, record.failures.as_ref(), policy, now_ms) {
        Ok(()) => Decision::Refresh,
        Err(_) if fresh.is_some() && reason == Reason::NearExpiry => Decision::Serve,
        Err(refused) => Decision::Refuse(refused),
    }
}

/// Whether the login has not ended.
fn is_alive(record: &GrantRecord) -> Result<(), Refused> {
    match record.state {
        GrantState::Active | GrantState::Suspect { .. } => Ok(()),
        GrantState::SignedOut { .. } => Err(Refusal::UnknownSession.into()),
        GrantState::Dead { reason, .. } => Err(Refused::new(Refusal::NeedsLogin).because(reason.as_str())),
    }
}

/// Whether the refresh token may be presented now, as far as the record shows; `streak` are the failures that count.
fn may_refresh(
    record: &GrantRecord,
    streak: Option<&Streak>,
    policy: &Policy,
    now_ms: u64,
) -> Result<(), Refused> {
    is_alive(record)?;
    if let GrantState::Suspect { since_ms } = record.state {
        let wait_ms = whole_ms(policy.suspect_wait);
        if let Some(wait) = remaining(since_ms.saturating_add(wait_ms), wait_ms, now_ms) {
            return Err(Refused::new(Refusal::IssuerUnavailable)
                .because("another refresh of this login may still be under way")
                .retry_after(wait));
        }
    }
    if record.refresh_token.is_none() {
        return Err(Refused::new(Refusal::NeedsLogin)
            .because("the login has no refresh token; request the scope offline_access from the issuer"));
    }
    if let Some(streak) = streak
        && let Some(wait) = streak.wait(now_ms)
    {
        return Err(of_streak(streak).retry_after(wait));
    }
    Ok(())
}

/// At most one new token per interval because a server rejected a fresh one.
fn may_replace_rejected(
    record: &GrantRecord,
    is_rejected: bool,
    policy: &Policy,
    now_ms: u64,
) -> Result<(), Refused> {
    if is_rejected && let Some(wait) = left_of_rejected_interval(record, policy, now_ms) {
        return Err(Refused::new(Refusal::Busy)
            .because("the rejected token was issued a moment ago; the server may not know the issuer's new key yet")
            .retry_after(wait));
    }
    Ok(())
}

/// How long the newest tokens still count as new.
fn left_of_rejected_interval(record: &GrantRecord, policy: &Policy, now_ms: u64) -> Option<Duration> {
    left_of_interval(record, policy.rejected_interval, now_ms)
}

fn left_of_interval(record: &GrantRecord, interval: Duration, now_ms: u64) -> Option<Duration> {
    let last_ms = record.refreshed_at_ms.unwrap_or(record.logged_in_at_ms);
    let interval_ms = whole_ms(interval);
    remaining(last_ms.saturating_add(interval_ms), interval_ms, now_ms)
}

/// The refusal while a streak lasts.
#[must_use]
pub fn of_streak(streak: &Streak) -> Refused {
    match streak.kind {
        StreakKind::Misconfigured => Refused::new(Refusal::IssuerMisconfigured),
        StreakKind::Unusable => Refused::new(Refusal::IssuerMisconfigured).because(
            "the new ID token of the last refresh could not be read or verified; a WARN has the reason",
        ),
        StreakKind::NoIdToken => Refused::new(Refusal::IssuerMisconfigured).because(NO_ID_TOKEN),
        StreakKind::Substituted => Refused::new(Refusal::Substitution),
        StreakKind::NotOauth if streak.is_lasting() => {
            Refused::new(Refusal::IssuerMisconfigured).because(NOT_OAUTH)
        }
        StreakKind::NotOauth => Refused::new(Refusal::IssuerUnavailable).because(NOT_OAUTH),
        StreakKind::Unreachable
        | StreakKind::RetryAfter
        | StreakKind::Failing
        | StreakKind::Denied
        | StreakKind::Interaction => Refused::new(Refusal::IssuerUnavailable),
    }
}

/// Whether `streak` has lasted so long that only a new login can help. An unreachable issuer means nothing for a login,
/// however long that lasts. An issuer that answers and fails this refresh every time does: Dex answers 500 permanently
/// for a login through a dead connector.
#[must_use]
pub fn is_permanent(streak: &Streak, policy: &Policy, now_ms: u64) -> bool {
    /// One failure before a long pause and one after it are not a streak.
    const MIN_FAILURES: u32 = 3;
    streak.kind == StreakKind::Failing
        && streak.same_kind >= MIN_FAILURES
        && now_ms.saturating_sub(streak.since_ms) > whole_ms(policy.transient_limit)
}
