//! Serve, refresh or refuse: the decision about a grant at a given time.

use std::time::Duration;

use tokenward_control::upstream::entitlement::Entitlement;
use tokenward_control::upstream::grant::decide::{Decision, Want, decide, is_permanent};
use tokenward_control::upstream::grant::record::{DeathReason, GrantRecord, GrantState, StoredIdToken};
use tokenward_control::upstream::policy::Policy;
use tokenward_control::upstream::renewal::{is_near_expiry, is_never_fresh};
use tokenward_control::upstream::streak::{Streak, StreakKind};
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use crate::records::plain_grant;

const SECOND: u64 = 1000;
pub(crate) const POLICY: Policy = Policy {
    margin: Duration::from_secs(60),
    suspect_wait: Duration::from_secs(35),
    presentation_limit: Duration::from_secs(39),
    transient_limit: Duration::from_secs(1800),
    rejected_interval: Duration::from_secs(30),
};

/// A grant whose ID token was issued at 0 and expires at 300 s.
fn grant(state: GrantState, failures: Option<Streak>) -> GrantRecord {
    GrantRecord {
        state,
        id_token: Some(StoredIdToken {
            sealed: b"s".to_vec().into(),
            fingerprint: "stored".to_owned(),
            exp_seconds: 300,
            issued_at_seconds: Some(0),
            audiences: vec!["c".to_owned()],
        }),
        failures,
        ..plain_grant()
    }
}

fn want(reason: Reason) -> Want {
    Want::id_token(reason, "stored", Entitlement::default())
}

fn at(record: &GrantRecord, reason: Reason, second: u64) -> String {
    match decide(record, &want(reason), &POLICY, second * SECOND) {
        Decision::Serve => "serve".to_owned(),
        Decision::Refresh => "refresh".to_owned(),
        Decision::Refuse(refused) => refused.refusal.name().to_owned(),
    }
}

#[test]
fn an_active_grant_over_its_tokens_life() {
    let grant = grant(GrantState::Active, None);
    let rows = [
        (Reason::Stale, 0, "serve"),
        (Reason::Stale, 179, "serve"),
        // The caller presents the stored token itself as stale: its margin is larger.
        (Reason::Stale, 180, "refresh"),
        (Reason::Stale, 240, "refresh"),
        (Reason::Stale, 1000, "refresh"),
        (Reason::NearExpiry, 0, "serve"),
        (Reason::NearExpiry, 179, "serve"),
        (Reason::NearExpiry, 180, "refresh"),
        (Reason::NearExpiry, 300, "refresh"),
        (Reason::Rejected, 0, "busy"),
        (Reason::Rejected, 29, "busy"),
        (Reason::Rejected, 30, "refresh"),
        (Reason::Rejected, 250, "refresh"),
    ];
    for (reason, second, decision) in rows {
        assert_eq!(at(&grant, reason, second), decision, "{reason:?} at {second}");
    }
}

#[test]
fn a_rejected_replacement_is_replaced_once_it_is_five_minutes_old() {
    let mut grant = grant(GrantState::Active, None);
    grant.id_token = grant.id_token.map(|stored| StoredIdToken {
        exp_seconds: 1_800,
        ..stored
    });
    let want = Want::id_token(Reason::Rejected, "an older one", Entitlement::default());
    let at = |record: &GrantRecord, second: u64| decide(record, &want, &POLICY, second * SECOND);
    // A request of before, or a server that does not know the new key yet.
    assert_eq!(at(&grant, 299), Decision::Serve);
    assert_eq!(at(&grant, 300), Decision::Refresh);
    let refreshed = GrantRecord {
        refreshed_at_ms: Some(300 * SECOND),
        ..grant.clone()
    };
    assert_eq!(at(&refreshed, 599), Decision::Serve);
    // Its server may not have seen it.
    let dead = GrantRecord {
        state: GrantState::Dead {
            reason: DeathReason::Claimed,
            since_ms: 0,
        },
        ..grant
    };
    assert_eq!(at(&dead, 300), Decision::Serve);
}

#[test]
fn a_dead_grant_serves_what_is_fresh_and_never_refreshes() {
    let grant = grant(
        GrantState::Dead {
            reason: DeathReason::Claimed,
            since_ms: 0,
        },
        None,
    );
    assert_eq!(at(&grant, Reason::Stale, 100), "serve");
    assert_eq!(at(&grant, Reason::NearExpiry, 200), "serve");
    assert_eq!(at(&grant, Reason::Rejected, 100), "needs_login");
    for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
        assert_eq!(at(&grant, reason, 240), "needs_login");
        assert_eq!(at(&grant, reason, 1_000_000), "needs_login");
    }
}

#[test]
fn a_suspect_grant_waits_and_is_then_refreshed_again() {
    let grant = grant(
        GrantState::Suspect {
            since_ms: 300 * SECOND,
        },
        None,
    );
    assert_eq!(at(&grant, Reason::Stale, 300), "issuer_unavailable");
    assert_eq!(at(&grant, Reason::Stale, 334), "issuer_unavailable");
    assert_eq!(at(&grant, Reason::Stale, 335), "refresh");
}

#[test]
fn what_a_clock_two_minutes_ahead_has_noted_holds_no_other_replica_up() {
    let suspect = grant(
        GrantState::Suspect {
            since_ms: 420 * SECOND,
        },
        None,
    );
    assert_eq!(at(&suspect, Reason::Stale, 300), "refresh");
    let refreshed = GrantRecord {
        refreshed_at_ms: Some(220 * SECOND),
        ..grant(GrantState::Active, None)
    };
    assert_eq!(at(&refreshed, Reason::Rejected, 100), "refresh");
    assert_eq!(at(&refreshed, Reason::Rejected, 221), "busy");
}

#[test]
fn a_life_within_the_margin_is_recognised_by_the_issuers_own_clock() {
    let margin = Duration::from_secs(60);
    assert!(is_never_fresh(1_060, Some(1_000), margin));
    assert!(!is_never_fresh(1_061, Some(1_000), margin));
    assert!(is_never_fresh(900, Some(1_000), margin));
    assert!(!is_never_fresh(1_000, None, margin));
}

#[test]
fn a_signed_out_grant_is_an_unknown_session() {
    let grant = grant(GrantState::SignedOut { since_ms: 0 }, None);
    for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
        assert_eq!(at(&grant, reason, 0), "unknown_session");
    }
}

#[test]
fn a_streak_refuses_until_its_next_attempt_with_the_wait() {
    for (kind, refusal) in [
        (StreakKind::Unreachable, Refusal::IssuerUnavailable),
        (StreakKind::Failing, Refusal::IssuerUnavailable),
        (StreakKind::Misconfigured, Refusal::IssuerMisconfigured),
        (StreakKind::Substituted, Refusal::Substitution),
    ] {
        let streak = Streak {
            since_ms: 0,
            count: 1,
            same_kind: 1,
            kind,
            next_attempt_at_ms: 303_500,
        };
        let early = Streak {
            next_attempt_at_ms: 200_500,
            ..streak
        };
        let ahead_of_time = grant(GrantState::Active, Some(early));
        let grant = grant(GrantState::Active, Some(streak));
        let Decision::Refuse(refused) = decide(&grant, &want(Reason::Stale), &POLICY, 300_000) else {
            panic!("{kind:?} must wait");
        };
        assert_eq!((refused.refusal, refused.retry_after_seconds), (refusal, Some(4)));
        assert_eq!(at(&grant, Reason::Stale, 304), "refresh");
        // Ahead of time the stored token is still served.
        assert_eq!(at(&ahead_of_time, Reason::NearExpiry, 200), "serve");
    }
}

#[test]
fn tokens_of_any_life_are_renewed_ahead_but_not_at_once() {
    // (life, margin, the second from which it is near expiry)
    for (life, margin, from) in [
        (10, 2, 3),
        (15, 3, 5),
        (300, 60, 180),
        (1800, 60, 1380),
        (86_400, 60, 86_400 - 60 - 17_280),
    ] {
        let margin = Duration::from_secs(margin);
        let near = |second: u64| is_near_expiry(life, Some(0), margin, second * SECOND, 0);
        assert!(!near(from - 1), "life {life}");
        assert!(near(from), "life {life}");
        assert!(near(life + 100), "life {life}");
    }
}

#[test]
fn the_serve_rule_is_strict_at_the_margin() {
    let margin = Duration::from_secs(60);
    assert!(is_fresh(300, margin, 239_999));
    assert!(!is_fresh(300, margin, 240_000));
    assert!(!is_fresh(0, margin, 0));
    assert!(!is_fresh(u64::MAX, margin, u64::MAX));
}

#[test]
fn only_an_issuer_that_answers_can_end_a_login_by_failing() {
    let streak = |kind, same_kind| Streak {
        since_ms: 0,
        count: same_kind,
        same_kind,
        kind,
        next_attempt_at_ms: 0,
    };
    let late = 1801 * SECOND;
    assert!(is_permanent(&streak(StreakKind::Failing, 3), &POLICY, late));
    assert!(!is_permanent(
        &streak(StreakKind::Failing, 3),
        &POLICY,
        1800 * SECOND
    ));
    assert!(!is_permanent(&streak(StreakKind::Failing, 2), &POLICY, late));
    assert!(!is_permanent(
        &streak(StreakKind::Unreachable, 1000),
        &POLICY,
        late * 100
    ));
    assert!(!is_permanent(
        &streak(StreakKind::Misconfigured, 1000),
        &POLICY,
        late * 100
    ));
}

#[test]
fn what_was_made_together_is_renewed_over_a_tenth_of_its_life() {
    let margin = Duration::from_secs(60);
    // (life, the first second at which one is renewed, the last at which all are)
    for (life, first, last) in [(120, 0, 0), (1800, 1200, 1380), (86_400, 60_420, 69_060)] {
        let renewed = |second: u64| {
            let spreads = (0..=u32::MAX).step_by(1 << 24);
            spreads
                .filter(|spread| is_near_expiry(life, Some(0), margin, second * SECOND, *spread))
                .count()
        };
        assert_eq!(renewed(last), 256, "life {life}");
        if first < last {
            assert_eq!(renewed(first - 1), 0, "life {life}");
            let half = renewed((first + last) / 2);
            assert!((120..=136).contains(&half), "life {life}: {half} of 256");
        }
    }
}
