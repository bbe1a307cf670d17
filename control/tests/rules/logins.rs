//! What a registered login means for the stored grant.

use tokenward_control::store::Revision;
use tokenward_control::upstream::grant::login::{
    LoginAdmission, NewLogin, PresentedLogin, has_ended, is_signed_out, judge, retired,
};
use tokenward_control::upstream::grant::record::{
    DeathReason, Extras, GrantRecord, GrantState, StoredIdToken,
};
use tokenward_control::upstream::grant::relayed::Relayed;
use tokenward_protocol::jwt::Claims;

use crate::records::{kept_refresh_token, plain_grant};

/// A grant whose login had the refresh token `first`, rotated to `second`, with an ID token of iat 100.
fn grant(state: GrantState) -> GrantRecord {
    GrantRecord {
        state,
        id_token: Some(StoredIdToken {
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

fn judged(record: Option<&GrantRecord>, issued: u64, refresh: Option<&str>) -> LoginAdmission {
    let claims = claims(issued);
    judge(
        record,
        PresentedLogin {
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
            (50, Some("first"), LoginAdmission::Unchanged),
            (100, Some("first"), LoginAdmission::Unchanged),
            (100, Some("second"), LoginAdmission::Unchanged),
            (150, Some("first"), LoginAdmission::NewerIdToken),
            (50, Some("other"), LoginAdmission::Unchanged),
            (100, Some("other"), LoginAdmission::NewLogin),
            (150, Some("other"), LoginAdmission::NewLogin),
            (50, None, LoginAdmission::Unchanged),
            (100, None, LoginAdmission::Unchanged),
            (150, None, LoginAdmission::NewerIdToken),
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
        assert_eq!(judged(Some(&record), 50, refresh), LoginAdmission::NewLogin);
        assert_eq!(judged(None, 50, refresh), LoginAdmission::NewLogin);
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
        relayed: Relayed::default(),
        extras: Extras::default(),
    };
    let record = login.supersede_unreadable(Revision(41), 7);
    assert_eq!((record.generation, record.sign_outs), (42, 42));
    assert_eq!((record.valid_from_seconds, record.lineage), (Some(100), None));
    assert_eq!(
        (record.state, record.login_fingerprint.as_deref()),
        (GrantState::Active, Some("third"))
    );
}

/// The grant after a sign-out everywhere at second 200; `from` is the record's own value.
fn signed_out(from: Option<u64>) -> GrantRecord {
    GrantRecord {
        state: GrantState::SignedOut { since_ms: 200_700 },
        sign_outs: 1,
        valid_from_seconds: from,
        retired: retired(&grant(GrantState::Active), true),
        id_token: None,
        refresh_token: None,
        login_fingerprint: None,
        ..grant(GrantState::Active)
    }
}

fn is_over(record: &GrantRecord, issued: Option<u64>, refresh: Option<&str>, id_token: &str) -> bool {
    let claims = Claims {
        issued_at_seconds: issued,
        ..claims(100)
    };
    let presented = PresentedLogin {
        claims: &claims,
        id_token_fingerprint: id_token,
        refresh_fingerprint: refresh,
    };
    is_signed_out(record, presented)
}

#[test]
fn a_login_of_before_a_sign_out_is_over_and_one_of_afterwards_is_not() {
    // The previous version stored the time only.
    for record in [signed_out(Some(201)), signed_out(None)] {
        let rows = [
            (Some(199), Some("other"), true),
            (Some(199), None, true),
            // In the second of the sign-out an old login is recognised by its tokens.
            (Some(200), Some("other"), false),
            (Some(200), Some("first"), true),
            (Some(200), Some("second"), true),
            (Some(200), None, false),
            (Some(201), Some("other"), false),
            // Its refresh token is the old one's, whatever ID token comes with it.
            (Some(900), Some("second"), true),
            (None, Some("other"), false),
            (None, Some("first"), true),
        ];
        for (issued, refresh, over) in rows {
            assert_eq!(
                is_over(&record, issued, refresh, "id"),
                over,
                "{issued:?} {refresh:?}"
            );
        }
        assert!(is_over(&record, Some(200), None, "f"), "the very ID token");
        assert!(
            !is_over(&record, Some(200), Some("other"), "f"),
            "an issuer may make it twice in a second"
        );
    }
}

#[test]
fn the_end_of_a_session_is_no_sign_out() {
    let ended = GrantRecord {
        sign_outs: 0,
        valid_from_seconds: None,
        retired: retired(&grant(GrantState::Active), false),
        ..signed_out(None)
    };
    assert_eq!(ended.retired, ["first"], "rotated away, and so used up");
    for refresh in [Some("first"), Some("second"), None] {
        assert!(!is_over(&ended, Some(100), refresh, "f"), "{refresh:?}");
    }
}

#[test]
fn the_first_login_after_a_sign_out_is_opened_by_its_own_token_and_by_none_of_before() {
    for (issued, from) in [(200, 200), (201, 201), (500, 201)] {
        let login = NewLogin {
            issuer: "i".to_owned(),
            client_id: "c".to_owned(),
            id_token: StoredIdToken {
                issued_at_seconds: Some(issued),
                ..grant(GrantState::Active).id_token.expect("it has one")
            },
            refresh_token: Some(kept_refresh_token("third")),
            lineage: None,
            relayed: Relayed::default(),
            extras: Extras::default(),
        };
        let record = login.supersede(Some(&signed_out(Some(201))), 501_000);
        assert_eq!(
            (record.state, record.valid_from_seconds),
            (GrantState::Active, Some(from))
        );
        assert!(is_over(&record, Some(199), Some("other"), "id"));
        assert!(is_over(&record, Some(200), Some("second"), "id"));
        assert!(!is_over(&record, Some(issued), Some("third"), "id"));
    }
}

#[test]
fn a_token_of_after_the_end_is_of_a_login_that_was_never_registered() {
    for (record, last) in [
        (signed_out(Some(201)), 200),
        (signed_out(None), 200),
        (signed_out(Some(301)), 300),
    ] {
        assert!(has_ended(&record, Some(last)));
        assert!(!has_ended(&record, Some(last + 1)));
        assert!(has_ended(&record, None));
    }
    assert!(has_ended(&grant(GrantState::Active), Some(u64::MAX)));
}
