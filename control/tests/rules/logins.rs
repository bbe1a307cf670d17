//! What a login that is put means for the grant that is kept.

use tokenward_control::grant::login::{Admission, NewLogin, Presented, judge};
use tokenward_control::grant::record::{DeathReason, GrantRecord, GrantState, KeptIdToken};
use tokenward_control::store::Revision;
use tokenward_protocol::jwt::Claims;

use crate::records::{kept_refresh_token, plain_grant};

/// A grant whose login gave the refresh token `first`, rotated to `second`, with an ID token of iat 100.
fn grant(state: GrantState) -> GrantRecord {
    GrantRecord {
        state,
        id_token: Some(KeptIdToken {
            sealed: b"s".to_vec().into(),
            fingerprint: "f".to_owned(),
            exp_seconds: 400,
            issued_at_seconds: Some(100),
            audiences: vec!["c".to_owned()],
        }),
        refresh_token: Some(kept_refresh_token("second")),
        login_fingerprint: Some("first".to_owned()),
        refreshed_at_ms: Some(100),
        ..plain_grant()
    }
}

fn claims(issued_at_seconds: u64) -> Claims {
    Claims {
        exp_seconds: issued_at_seconds + 300,
        issued_at_seconds: Some(issued_at_seconds),
        issuer: "i".to_owned(),
        subject: "u".to_owned(),
        audiences: vec!["c".to_owned()],
    }
}

fn judged(record: Option<&GrantRecord>, issued: u64, refresh: Option<&str>) -> Admission {
    let claims = claims(issued);
    judge(
        record,
        Presented {
            claims: &claims,
            id_token_fingerprint: "id",
            refresh_fingerprint: refresh,
        },
    )
}

#[test]
fn a_login_is_judged_by_its_refresh_token_and_its_age() {
    let dead = GrantState::Dead {
        reason: DeathReason::Claimed,
        since_ms: 0,
    };
    for state in [GrantState::Active, dead, GrantState::Suspect { since_ms: 0 }] {
        let record = grant(state);
        let rows = [
            (50, Some("first"), Admission::Known),
            (100, Some("first"), Admission::Known),
            (100, Some("second"), Admission::Known),
            (150, Some("first"), Admission::NewerIdToken),
            (50, Some("other"), Admission::Known),
            (100, Some("other"), Admission::NewLogin),
            (150, Some("other"), Admission::NewLogin),
            (50, None, Admission::Known),
            (100, None, Admission::Known),
            (150, None, Admission::NewerIdToken),
        ];
        for (issued, refresh, admission) in rows {
            assert_eq!(
                judged(Some(&record), issued, refresh),
                admission,
                "{state:?} {issued} {refresh:?}"
            );
        }
    }
}

#[test]
fn after_a_sign_out_every_login_is_new() {
    let record = grant(GrantState::SignedOut { since_ms: 0 });
    for refresh in [Some("first"), Some("other"), None] {
        assert_eq!(judged(Some(&record), 50, refresh), Admission::NewLogin);
        assert_eq!(judged(None, 50, refresh), Admission::NewLogin);
    }
}

/// Each generation and each sign-out was a write, so neither count of the lost record was above its revision.
#[test]
fn what_takes_the_place_of_an_unreadable_record_counts_above_it_and_vouches_for_nothing() {
    let login = NewLogin {
        issuer: "i".to_owned(),
        client_id: "c".to_owned(),
        id_token: grant(GrantState::Active).id_token.expect("it has one"),
        refresh_token: Some(kept_refresh_token("third")),
        lineage: None,
    };
    let record = login.supersedes_unread(Revision(41), 7);
    assert_eq!((record.generation, record.sign_outs), (42, 42));
    assert_eq!((record.valid_from_seconds, record.lineage), (Some(100), None));
    assert_eq!(
        (record.state, record.login_fingerprint.as_deref()),
        (GrantState::Active, Some("third"))
    );
}
