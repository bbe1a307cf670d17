//! What a client of the relay gets of a grant: the stored response, a refresh, or a refusal.

use tokenward_control::upstream::entitlement::Entitlement;
use tokenward_control::upstream::grant::decide::{Decision, Want, decide};
use tokenward_control::upstream::grant::record::{DeathReason, GrantRecord, GrantState, StoredIdToken};
use tokenward_control::upstream::grant::relayed::{MAX_CHAIN, Origin, Relayed, StoredResponse};
use tokenward_control::upstream::streak::{Streak, StreakKind, failed};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use crate::decisions::POLICY;
use crate::records::{kept_refresh_token, plain_grant};

const SECOND_MS: u64 = 1_000;

/// A grant whose tokens were made at 0 and expire at 600 s. A client was given `older`, then `newest`.
fn grant() -> GrantRecord {
    GrantRecord {
        id_token: Some(StoredIdToken {
            sealed: b"s".to_vec().into(),
            fingerprint: "id".to_owned(),
            exp_seconds: 600,
            issued_at_seconds: Some(0),
            audiences: vec!["c".to_owned()],
        }),
        refresh_token: Some(kept_refresh_token("newest")),
        relayed: Relayed {
            chain: vec!["older".to_owned(), "newest".to_owned()],
            response: Some(response(Some("id"))),
            ..Relayed::default()
        },
        ..plain_grant()
    }
}

fn response(id_token: Option<&str>) -> StoredResponse {
    StoredResponse {
        sealed: b"s".to_vec().into(),
        made_at_ms: 0,
        access_expires_at_ms: Some(600 * SECOND_MS),
        id_token_fingerprint: id_token.map(str::to_owned),
    }
}

fn failing(kind: StreakKind) -> Option<Streak> {
    Some(failed(None, kind, None, 399 * SECOND_MS, u32::MAX))
}

fn at(record: &GrantRecord, presented: &str, second: u64) -> String {
    match decide(record, &Want::response(presented), &POLICY, second * SECOND_MS) {
        Decision::Serve => "serve".to_owned(),
        Decision::Refresh => "refresh".to_owned(),
        Decision::Refuse(refused) => refused.refusal.name().to_owned(),
    }
}

fn of_server() -> Want {
    Want::id_token(Reason::Stale, "presented", Entitlement::default())
}

#[test]
fn the_newest_token_is_answered_from_the_store_only_where_the_request_is_a_repetition() {
    let grant = grant();
    for (second, expected) in [(0, "serve"), (60, "serve"), (61, "refresh"), (599, "refresh")] {
        assert_eq!(at(&grant, "newest", second), expected, "{second}");
    }
}

#[test]
fn an_older_token_of_the_chain_is_answered_from_the_store_for_half_the_responses_life() {
    let grant = grant();
    for (second, expected) in [(0, "serve"), (61, "serve"), (299, "serve"), (300, "refresh")] {
        assert_eq!(at(&grant, "older", second), expected, "{second}");
    }
}

#[test]
fn a_short_lived_response_answers_a_repetition_for_half_of_its_life_at_most() {
    let mut grant = grant();
    grant.relayed.response = Some(StoredResponse {
        access_expires_at_ms: Some(40 * SECOND_MS),
        ..response(Some("id"))
    });
    assert_eq!(at(&grant, "newest", 19), "serve");
    assert_eq!(at(&grant, "newest", 20), "refresh");
}

#[test]
fn a_token_that_the_login_does_not_hold_is_no_business_of_its_record() {
    assert_eq!(at(&grant(), "foreign", 0), Refusal::Busy.name());
}

#[test]
fn a_login_that_has_ended_answers_no_client_however_young_its_response() {
    let dead = GrantRecord {
        state: GrantState::Dead {
            reason: DeathReason::Claimed,
            since_ms: 0,
        },
        ..grant()
    };
    assert_eq!(at(&dead, "newest", 1), Refusal::NeedsLogin.name());
    let signed_out = GrantRecord {
        state: GrantState::SignedOut { since_ms: 0 },
        ..grant()
    };
    assert_eq!(at(&signed_out, "older", 1), Refusal::UnknownSession.name());
}

/// A client with the newest refresh token has the stored response already. As a success it would have the client wait for a
/// life that is nearly over: oauth2-proxy refreshes by the age of a session.
#[test]
fn while_the_issuer_is_away_the_stored_response_is_served_to_a_client_that_does_not_have_it() {
    let away = Refusal::IssuerUnavailable.name();
    let pausing = GrantRecord {
        failures: failing(StreakKind::Unreachable),
        last_used_at_ms: 399 * SECOND_MS,
        ..grant()
    };
    assert_eq!(at(&pausing, "older", 399), "serve");
    assert_eq!(at(&pausing, "newest", 399), away);
    let until_margin = GrantRecord {
        failures: Some(failed(None, StreakKind::Misconfigured, None, 530 * SECOND_MS, 0)),
        ..grant()
    };
    let misconfigured = Refusal::IssuerMisconfigured.name();
    assert_eq!(at(&until_margin, "older", 539), "serve");
    assert_eq!(at(&until_margin, "older", 540), misconfigured);
    assert_eq!(at(&until_margin, "newest", 539), misconfigured);
    // The pause is over: the issuer is called again.
    assert_eq!(at(&pausing, "newest", 401), "refresh");
}

#[test]
fn an_answer_without_an_id_token_is_whole_for_a_client_and_pauses_servers_alone() {
    let mut grant = GrantRecord {
        failures: failing(StreakKind::NoIdToken),
        id_token: None,
        ..grant()
    };
    grant.relayed.response = Some(response(None));
    assert_eq!(at(&grant, "newest", 30), "serve");
    assert_eq!(at(&grant, "newest", 410), "refresh");
    let Decision::Refuse(refused) = decide(&grant, &of_server(), &POLICY, 410 * SECOND_MS) else {
        panic!("a server cannot use it");
    };
    assert_eq!(refused.refusal, Refusal::IssuerMisconfigured);
    assert!(refused.cause.contains("scope openid"), "{refused:?}");
}

#[test]
fn a_response_whose_id_token_the_record_no_longer_holds_answers_no_client() {
    let mut grant = grant();
    grant.relayed.response = Some(response(Some("another")));
    assert_eq!(at(&grant, "newest", 1), "refresh");
    grant.relayed.response = Some(response(None));
    assert_eq!(at(&grant, "newest", 1), "serve");
}

#[test]
fn nothing_is_presented_or_served_from_a_record_whose_tokens_have_moved() {
    let mut grant = grant();
    grant.relayed.origin = Origin::Moved { user: "u".to_owned() };
    assert_eq!(at(&grant, "newest", 1), Refusal::Busy.name());
    assert!(matches!(
        decide(&grant, &of_server(), &POLICY, 0),
        Decision::Refuse(_)
    ));
}

#[test]
fn a_chain_holds_the_sixteen_newest_tokens_and_names_those_that_leave_it() {
    let mut relayed = Relayed::default();
    for number in 0..MAX_CHAIN {
        assert_eq!(relayed.hand_out(&format!("r{number}")), Vec::<String>::new());
    }
    assert_eq!(relayed.hand_out("r3"), Vec::<String>::new());
    assert_eq!(relayed.hand_out("one more"), ["r0"]);
    assert_eq!(relayed.chain.len(), MAX_CHAIN);
    assert_eq!(relayed.chain.last().map(String::as_str), Some("one more"));
}

/// A client's token may end before a pause of a minute does, and the client then gives its login up.
#[test]
fn a_client_tries_an_unreachable_issuer_again_after_five_seconds() {
    let failed_at_ms = 700 * SECOND_MS;
    let mut streak = None;
    for _ in 0..8 {
        streak = Some(failed(
            streak,
            StreakKind::Unreachable,
            None,
            failed_at_ms,
            u32::MAX,
        ));
    }
    let mut grant = grant();
    (grant.failures, grant.last_used_at_ms) = (streak, failed_at_ms);
    for (second, expected) in [
        (701, "issuer_unavailable"),
        (704, "issuer_unavailable"),
        (705, "refresh"),
    ] {
        assert_eq!(at(&grant, "newest", second), expected, "{second}");
    }
    // A server's request waits for the pause, and a client does where the issuer itself has answered.
    let of_server = decide(&grant, &of_server(), &POLICY, 705 * SECOND_MS);
    assert!(matches!(of_server, Decision::Refuse(_)), "{of_server:?}");
    grant.failures = Some(failed(None, StreakKind::Failing, None, failed_at_ms, u32::MAX));
    grant.failures = grant.failures.map(|streak| Streak {
        next_attempt_at_ms: failed_at_ms + 60_000,
        ..streak
    });
    assert_eq!(at(&grant, "newest", 705), "issuer_unavailable");
}
