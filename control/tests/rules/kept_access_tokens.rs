//! The access token that a grant keeps: serve, refresh or refuse, and where in the record it is.

use tokenward_control::upstream::entitlement::Entitlement;
use tokenward_control::upstream::grant::decide::{Decision, Want, decide};
use tokenward_control::upstream::grant::kept::KeptIn;
use tokenward_control::upstream::grant::record::{
    DeathReason, Extras, GrantRecord, GrantState, StoredAccessToken, StoredIdToken,
};
use tokenward_control::upstream::grant::relayed::{Relayed, StoredResponse};
use tokenward_control::upstream::streak::{Streak, StreakKind};
use tokenward_protocol::token_endpoint::Reason;

use crate::decisions::POLICY;
use crate::records::plain_grant;

const EXP_SECONDS: u64 = 300;

fn id_token(exp_seconds: u64) -> StoredIdToken {
    StoredIdToken {
        sealed: b"s".to_vec().into(),
        fingerprint: "id token".to_owned(),
        exp_seconds,
        issued_at_seconds: Some(0),
        audiences: vec!["c".to_owned()],
    }
}

fn access_token(exp_seconds: u64) -> StoredAccessToken {
    StoredAccessToken {
        sealed: b"s".to_vec().into(),
        fingerprint: "access token".to_owned(),
        exp_seconds,
        issued_at_seconds: Some(0),
        audiences: Vec::new(),
    }
}

/// A grant whose access token was issued at 0 and expires at 300 s; its ID token lives for an hour.
fn grant(access_token: Option<StoredAccessToken>) -> GrantRecord {
    GrantRecord {
        id_token: Some(id_token(3600)),
        extras: Extras {
            access_token,
            of_user: None,
        },
        ..plain_grant()
    }
}

fn response(id_token_fingerprint: Option<&str>, access_expires_at_ms: Option<u64>) -> StoredResponse {
    StoredResponse {
        sealed: b"s".to_vec().into(),
        made_at_ms: 0,
        access_expires_at_ms,
        id_token_fingerprint: id_token_fingerprint.map(str::to_owned),
    }
}

fn at(record: &GrantRecord, reason: Reason, second: u64) -> String {
    let want = Want::access_token(reason, Entitlement::default());
    match decide(record, &want, &POLICY, second * 1000) {
        Decision::Serve => "serve".to_owned(),
        Decision::Refresh => "refresh".to_owned(),
        Decision::Refuse(refused) => refused.refusal.name().to_owned(),
    }
}

#[test]
fn an_access_token_over_its_life_whatever_the_id_tokens_is() {
    let grant = grant(Some(access_token(EXP_SECONDS)));
    let rows = [
        (Reason::Stale, 0, "serve"),
        (Reason::Stale, 239, "serve"),
        (Reason::Stale, 240, "refresh"),
        (Reason::Stale, 1000, "refresh"),
        (Reason::NearExpiry, 0, "serve"),
        (Reason::NearExpiry, 179, "serve"),
        (Reason::NearExpiry, 180, "refresh"),
        // The presented token does not show which one the server rejected: a new one is good for every caller.
        (Reason::Rejected, 0, "serve"),
        (Reason::Rejected, 29, "serve"),
        (Reason::Rejected, 30, "refresh"),
    ];
    for (reason, second, decision) in rows {
        assert_eq!(at(&grant, reason, second), decision, "{reason:?} at {second}");
    }
}

#[test]
fn a_login_without_an_access_token_is_refreshed_to_get_one() {
    let without = grant(None);
    for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
        assert_eq!(at(&without, reason, 0), "refresh", "{reason:?}");
    }
    let unrefreshable = GrantRecord {
        refresh_token: None,
        ..without
    };
    assert_eq!(at(&unrefreshable, Reason::Stale, 0), "needs_login");
}

#[test]
fn a_dead_login_serves_its_access_token_while_that_is_fresh() {
    let dead = GrantRecord {
        state: GrantState::Dead {
            reason: DeathReason::InvalidGrant,
            since_ms: 0,
        },
        ..grant(Some(access_token(EXP_SECONDS)))
    };
    let rows = [
        (Reason::Stale, 0, "serve"),
        (Reason::NearExpiry, 200, "serve"),
        (Reason::Rejected, 100, "needs_login"),
        (Reason::Stale, 240, "needs_login"),
    ];
    for (reason, second, decision) in rows {
        assert_eq!(at(&dead, reason, second), decision, "{reason:?} at {second}");
    }
}

#[test]
fn a_pause_after_a_failure_holds_for_a_stale_access_token_only() {
    let until = |second: u64| GrantRecord {
        failures: Some(Streak {
            count: 10,
            kind: StreakKind::Unreachable,
            same_kind: 10,
            since_ms: 0,
            next_attempt_at_ms: second * 1000,
        }),
        ..grant(Some(access_token(EXP_SECONDS)))
    };
    assert_eq!(at(&until(110), Reason::Stale, 100), "serve");
    assert_eq!(at(&until(210), Reason::NearExpiry, 200), "serve");
    assert_eq!(at(&until(250), Reason::Stale, 240), "issuer_unavailable");
    assert_eq!(at(&until(250), Reason::Stale, 250), "refresh");
}

#[test]
fn the_access_token_of_a_relayed_login_is_that_of_its_response() {
    let relayed = |response| GrantRecord {
        relayed: Relayed {
            response: Some(response),
            ..Relayed::default()
        },
        ..grant(None)
    };
    let stated = relayed(response(Some("id token"), Some(300_000)));
    assert!(matches!(
        stated.access_token().map(|kept| kept.place),
        Some(KeptIn::Response(_))
    ));
    assert_eq!(at(&stated, Reason::Stale, 239), "serve");
    assert_eq!(at(&stated, Reason::Stale, 240), "refresh");
    let unstated = relayed(response(Some("id token"), None));
    assert_eq!(unstated.access_token().map(|kept| kept.exp_seconds), Some(3600));
    // A response whose ID token is not the one of the record, or that has none, is no proof of whose it is.
    for fingerprint in [Some("another"), None] {
        assert!(
            relayed(response(fingerprint, Some(300_000)))
                .access_token()
                .is_none(),
            "{fingerprint:?}"
        );
    }
}
