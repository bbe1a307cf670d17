//! A login that is known by a client's refresh token alone: whether it becomes its user's grant.

use tokenward_control::config::IssuerPolicy::{Strict, Tolerant};
use tokenward_control::upstream::grant::attach::{
    Attachment, MovedTokens, attached, attachment, is_signed_out_with,
};
use tokenward_control::upstream::grant::record::{DeathReason, GrantRecord, GrantState, StoredIdToken};
use tokenward_control::upstream::grant::relayed::{Origin, Relayed, StoredResponse};

use crate::records::{kept_refresh_token, plain_grant};

fn id_token(issued_at_seconds: u64) -> StoredIdToken {
    StoredIdToken {
        sealed: b"s".to_vec().into(),
        fingerprint: format!("id{issued_at_seconds}"),
        exp_seconds: issued_at_seconds + 300,
        issued_at_seconds: Some(issued_at_seconds),
        audiences: vec!["c".to_owned()],
    }
}

/// A login whose client presented `t0`; the issuer has replaced it by `t1`.
fn chain() -> GrantRecord {
    GrantRecord {
        id_token: Some(id_token(500)),
        refresh_token: Some(kept_refresh_token("t1")),
        relayed: Relayed {
            origin: Origin::Presented,
            chain: vec!["t0".to_owned(), "t1".to_owned()],
            ..Relayed::default()
        },
        ..plain_grant()
    }
}

/// The user's grant, of another login.
fn of_user() -> GrantRecord {
    GrantRecord {
        id_token: Some(id_token(400)),
        refresh_token: Some(kept_refresh_token("u1")),
        login_fingerprint: Some("u0".to_owned()),
        generation: 3,
        sign_outs: 2,
        ..plain_grant()
    }
}

fn dead(reason: DeathReason) -> GrantRecord {
    GrantRecord {
        state: GrantState::Dead { reason, since_ms: 0 },
        ..of_user()
    }
}

fn new_login(rotated_elsewhere: bool) -> Attachment {
    Attachment::NewLogin { rotated_elsewhere }
}

#[test]
fn a_login_of_a_user_without_a_grant_becomes_the_grant() {
    for policy in [Strict, Tolerant] {
        assert_eq!(attachment(None, &chain(), policy), new_login(false));
    }
}

#[test]
fn beside_another_live_login_only_a_strict_issuers_stays_apart() {
    assert_eq!(attachment(Some(&of_user()), &chain(), Strict), Attachment::Apart);
    assert_eq!(attachment(Some(&of_user()), &chain(), Tolerant), new_login(false));
    let newer = GrantRecord {
        id_token: Some(id_token(501)),
        ..of_user()
    };
    assert_eq!(attachment(Some(&newer), &chain(), Tolerant), Attachment::Apart);
}

#[test]
fn a_dead_grant_is_replaced_and_a_claimed_one_shows_that_clients_have_another_way() {
    for policy in [Strict, Tolerant] {
        assert_eq!(
            attachment(Some(&dead(DeathReason::Claimed)), &chain(), policy),
            new_login(true)
        );
        assert_eq!(
            attachment(Some(&dead(DeathReason::Expired)), &chain(), policy),
            new_login(false)
        );
    }
    let without = GrantRecord {
        refresh_token: None,
        ..of_user()
    };
    assert_eq!(attachment(Some(&without), &chain(), Strict), new_login(false));
}

#[test]
fn a_user_who_signed_out_gets_no_login_by_a_refresh() {
    let signed_out = GrantRecord {
        state: GrantState::SignedOut { since_ms: 0 },
        ..of_user()
    };
    for policy in [Strict, Tolerant] {
        assert_eq!(
            attachment(Some(&signed_out), &chain(), policy),
            Attachment::SignedOut
        );
    }
}

#[test]
fn the_same_login_is_recognised_by_any_token_that_both_have_held() {
    let registered = GrantRecord {
        login_fingerprint: Some("t0".to_owned()),
        refresh_token: None,
        ..of_user()
    };
    let mut held = of_user();
    held.relayed.chain = vec!["t1".to_owned()];
    for user in [registered, held] {
        assert_eq!(attachment(Some(&user), &chain(), Strict), Attachment::SameLogin);
    }
}

fn tokens() -> MovedTokens {
    MovedTokens {
        id_token: id_token(500),
        refresh_token: kept_refresh_token("t1"),
        response: Some(StoredResponse {
            sealed: b"s".to_vec().into(),
            made_at_ms: 500_000,
            access_expires_at_ms: None,
            id_token_fingerprint: Some("id500".to_owned()),
        }),
    }
}

#[test]
fn an_attached_login_is_a_new_generation_with_the_clients_chain_and_counts_on() {
    let record = attached(Some(&of_user()), &chain(), tokens(), false, 600_000);
    assert_eq!(
        (record.generation, record.sign_outs, record.state),
        (4, 2, GrantState::Active)
    );
    assert_eq!(record.relayed.chain, ["t0", "t1"]);
    assert!(record.has_newest("t1"));
    assert!(record.usable_response().is_some());
    assert_eq!(record.login_fingerprint.as_deref(), Some("t0"));
    // The user is registered, so sign-outs reach control.
    assert_eq!(record.relayed.origin, Origin::Registered);
    let first = attached(None, &chain(), tokens(), false, 600_000);
    assert_eq!((first.generation, first.relayed.origin), (1, Origin::Learned));
}

#[test]
fn an_attached_token_of_the_same_login_keeps_the_generation_and_both_chains() {
    let mut user = dead(DeathReason::AnswerLost);
    user.relayed.chain = vec!["t-1".to_owned(), "t0".to_owned()];
    let record = attached(Some(&user), &chain(), tokens(), true, 600_000);
    assert_eq!((record.generation, record.state), (3, GrantState::Active));
    assert_eq!(record.relayed.chain, ["t-1", "t0", "t1"]);
    assert!(record.has_newest("t1"));
    // Attached late: the user's own ID token is newer and stays, and the response without it answers no client.
    user.id_token = Some(id_token(900));
    let late = attached(Some(&user), &chain(), tokens(), true, 600_000);
    assert_eq!(late.id_token, Some(id_token(900)));
    assert!(late.usable_response().is_none());
    assert!(late.has_newest("t1"));
}

#[test]
fn a_superseded_login_retires_the_tokens_that_are_used_up_and_not_the_newest() {
    let mut user = of_user();
    user.relayed.chain = vec!["u0".to_owned(), "u1".to_owned()];
    let record = attached(Some(&user), &chain(), tokens(), false, 0);
    assert_eq!(record.retired, ["u0"]);
}

#[test]
fn a_login_beside_the_users_grant_ends_with_the_users_sign_out() {
    let mut apart = chain();
    apart.relayed.origin = Origin::Apart {
        user: "u".to_owned(),
        sign_outs: 2,
    };
    assert!(!is_signed_out_with(Some(&of_user()), &apart));
    assert!(!is_signed_out_with(None, &apart));
    let signed_out = GrantRecord {
        sign_outs: 3,
        ..of_user()
    };
    assert!(is_signed_out_with(Some(&signed_out), &apart));
}
