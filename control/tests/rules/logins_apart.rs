//! Logins with a record of their own: whose they are, when they end, and how a request finds the one that is meant.

use tokenward_control::session::sid_digest;
use tokenward_control::store::Revision;
use tokenward_control::upstream::grant::attach::{Attachment, attachment_of_login, is_signed_out_with};
use tokenward_control::upstream::grant::login::{as_login_of, replaced_unreadable};
use tokenward_control::upstream::grant::login_index::{LoginEntry, MOST_ENTRIES, in_order, surplus};
use tokenward_control::upstream::grant::place::{holds_login, may_be_same_login};
use tokenward_control::upstream::grant::record::{
    DeathReason, Extras, GrantKey, GrantRecord, GrantState, OfUser, StoredIdToken,
};
use tokenward_control::upstream::grant::relayed::Origin;

use crate::records::{kept_refresh_token, plain_grant};

fn user() -> GrantKey {
    GrantKey::new("i", "c", "u")
}

fn issued_at(seconds: u64) -> StoredIdToken {
    StoredIdToken {
        sealed: b"s".to_vec().into(),
        fingerprint: format!("id{seconds}"),
        exp_seconds: seconds + 300,
        issued_at_seconds: Some(seconds),
        audiences: vec!["c".to_owned()],
    }
}

/// A login with a record of its own since the user's sign-outs were `sign_outs`.
fn login(sign_outs: u64) -> GrantRecord {
    GrantRecord {
        id_token: Some(issued_at(100)),
        extras: Extras {
            of_user: Some(OfUser {
                user: user().digest().to_owned(),
                sign_outs,
            }),
            ..Extras::default()
        },
        ..plain_grant()
    }
}

/// The own grant of a user who signed out at second 200.
fn signed_out(sign_outs: u64) -> GrantRecord {
    GrantRecord {
        state: GrantState::SignedOut { since_ms: 200_700 },
        sign_outs,
        valid_from_seconds: Some(201),
        refresh_token: None,
        login_fingerprint: None,
        ..plain_grant()
    }
}

fn entry(name: u8, made_at_ms: u64, sid: Option<&str>) -> LoginEntry {
    let login = GrantKey::of_login("i", "c", &format!("token {name}"));
    let sid = sid.map(|sid| sid_digest("i", sid));
    LoginEntry::new(login, made_at_ms, sid.as_deref())
}

fn ended(entry: LoginEntry) -> LoginEntry {
    LoginEntry {
        has_ended: true,
        ..entry
    }
}

#[test]
fn an_entry_of_the_index_is_read_as_it_was_written_and_nothing_else_is_one() {
    let entries = [
        entry(1, 0, None),
        entry(2, u64::MAX, Some("sid")),
        ended(entry(3, 7, Some("a session with . and -"))),
    ];
    for entry in entries {
        let member = entry.to_member();
        assert!(member.len() < 110, "{member}");
        assert_eq!(LoginEntry::parse(&member), Some(entry));
    }
    let digest = user().digest().to_owned();
    for member in [
        "",
        "....",
        "x.y.-.live",
        &digest,
        &format!("7.{digest}.-"),
        &format!("g.{digest}.-.live"),
    ] {
        assert_eq!(LoginEntry::parse(member), None, "{member}");
    }
}

#[test]
fn a_request_looks_at_the_logins_of_its_session_first_and_then_at_the_newest_alive() {
    let entries = [
        entry(1, 10, Some("one")),
        entry(2, 30, Some("two")),
        ended(entry(3, 50, None)),
        entry(4, 20, Some("one")),
        ended(entry(5, 60, Some("one"))),
    ];
    let order = |sid: Option<&str>| {
        let sid = sid.map(|sid| sid_digest("i", sid));
        let ordered = in_order(&entries, sid.as_deref());
        ordered.iter().map(|entry| entry.made_at_ms).collect::<Vec<_>>()
    };
    assert_eq!(order(None), [30, 20, 10, 60, 50]);
    assert_eq!(order(Some("one")), [20, 10, 60, 30, 50]);
    assert_eq!(order(Some("unknown")), [30, 20, 10, 60, 50]);
}

#[test]
fn the_index_drops_ended_logins_first_and_then_the_oldest() {
    let newest = entry(0, 1_000_000, None);
    let mut entries: Vec<LoginEntry> = (1..=MOST_ENTRIES as u64)
        .map(|at| LoginEntry::new(GrantKey::new("i", "c", &at.to_string()), at, None))
        .collect();
    entries[100] = ended(entries[100].clone());
    let dropped = |entries: &[LoginEntry]| -> Vec<u64> {
        surplus(entries, &newest)
            .iter()
            .map(|entry| entry.made_at_ms)
            .collect()
    };
    assert_eq!(dropped(&entries), [101]);
    entries.remove(100);
    assert_eq!(dropped(&entries), [0; 0]);
    entries.push(entry(7, 5_000, None));
    assert_eq!(dropped(&entries), [1]);
    // The login itself has its place already.
    entries.push(newest.clone());
    assert_eq!(dropped(&entries), [1]);
}

/// Keycloak's revocation ends what was made in the token's session; other issuers name no session.
#[test]
fn a_revocation_ends_the_logins_of_the_same_session_at_the_issuer() {
    let rows = [
        (Some("one"), Some("one"), true),
        (Some("one"), Some("two"), false),
        (None, None, false),
        (Some("one"), None, true),
        (None, Some("one"), true),
    ];
    for (own, other, ends) in rows {
        let (own, other) = (entry(1, 0, own), entry(2, 0, other));
        assert_eq!(own.ends_with_revocation(&other), ends, "{own:?} {other:?}");
    }
}

#[test]
fn a_login_ends_with_a_later_sign_out_of_its_user() {
    assert!(!is_signed_out_with(None, &login(0)));
    assert!(!is_signed_out_with(Some(&plain_grant()), &login(0)));
    assert!(is_signed_out_with(Some(&signed_out(1)), &login(0)));
    assert!(!is_signed_out_with(Some(&signed_out(1)), &login(1)));
    // A record that is no login of its own ends by itself.
    assert!(!is_signed_out_with(Some(&signed_out(1)), &plain_grant()));
    assert_eq!(login(3).whose(), Some((user().digest(), 3)));
    assert_eq!(plain_grant().whose(), None);
}

#[test]
fn a_record_holds_the_login_of_its_tokens_unless_it_has_moved_or_ended() {
    let mut record = GrantRecord {
        login_fingerprint: Some("first".to_owned()),
        refresh_token: Some(kept_refresh_token("newest")),
        ..login(0)
    };
    record.relayed.chain = vec!["held".to_owned()];
    for held in ["first", "newest", "held"] {
        assert!(holds_login(&record, held), "{held}");
    }
    assert!(!holds_login(&record, "other"));
    let without = GrantRecord {
        refresh_token: None,
        ..record.clone()
    };
    record.relayed.origin = Origin::Moved { user: "u".to_owned() };
    for held in ["first", "newest", "held"] {
        assert!(
            !holds_login(&record, held) && !holds_login(&without, held),
            "{held}"
        );
    }
}

#[test]
fn a_login_without_a_refresh_token_is_the_sessions_unless_the_issuers_session_is_another() {
    assert!(may_be_same_login(Some("one"), Some("one")));
    assert!(!may_be_same_login(Some("one"), Some("two")));
    for (stored, sid) in [(None, None), (Some("one"), None), (None, Some("one"))] {
        assert!(may_be_same_login(stored, sid));
    }
}

#[test]
fn a_new_login_is_one_after_the_sign_outs_so_far_and_may_be_of_the_same_second() {
    let of = |user: Option<&GrantRecord>, issued: u64| {
        let record = GrantRecord {
            id_token: Some(issued_at(issued)),
            ..plain_grant()
        };
        as_login_of(record, &self::user(), user, true, 300_000)
    };
    assert_eq!(
        of(None, 250),
        GrantRecord {
            id_token: Some(issued_at(250)),
            ..login(0)
        }
    );
    let after = of(Some(&signed_out(3)), 250);
    assert_eq!(
        (after.whose(), after.valid_from_seconds, after.state),
        (Some((user().digest(), 3)), Some(201), GrantState::Active)
    );
    assert_eq!(of(Some(&signed_out(3)), 200).valid_from_seconds, Some(200));
    // Its own count is not the user's.
    assert_eq!(after.sign_outs, 0);
    // One that is registered again keeps what it has.
    let again = as_login_of(after.clone(), &user(), Some(&signed_out(4)), false, 300_000);
    assert_eq!(
        (again.whose(), again.valid_from_seconds),
        (Some((user().digest(), 4)), Some(201))
    );
}

#[test]
fn a_new_login_with_a_refresh_token_that_the_users_grant_knows_as_used_up_is_dead_at_once() {
    let knows = GrantRecord {
        retired: vec!["r".to_owned()],
        ..plain_grant()
    };
    let state =
        |user: &GrantRecord, is_new| as_login_of(login(0), &self::user(), Some(user), is_new, 5).state;
    let dead = GrantState::Dead {
        reason: DeathReason::Retired,
        since_ms: 5,
    };
    assert_eq!(state(&knows, true), dead);
    assert_eq!(state(&knows, false), GrantState::Active);
    assert_eq!(state(&plain_grant(), true), GrantState::Active);
}

#[test]
fn a_login_that_is_known_by_a_refresh_token_stays_apart() {
    let mut chain = plain_grant();
    chain.relayed.origin = Origin::Presented;
    chain.relayed.chain = vec!["t0".to_owned()];
    let other = GrantRecord {
        login_fingerprint: Some("other".to_owned()),
        refresh_token: Some(kept_refresh_token("other")),
        ..plain_grant()
    };
    let same = GrantRecord {
        login_fingerprint: Some("t0".to_owned()),
        ..plain_grant()
    };
    let ended_only = GrantRecord {
        sign_outs: 0,
        ..signed_out(0)
    };
    let rows = [
        (None, false, Attachment::Apart),
        (Some(&other), false, Attachment::Apart),
        (Some(&same), false, Attachment::SameLogin),
        (Some(&ended_only), false, Attachment::Apart),
    ];
    for (of_user, since, attachment) in rows {
        assert_eq!(
            attachment_of_login(of_user, &chain, since),
            attachment,
            "{of_user:?}"
        );
    }
    // After a sign-out everywhere it may be a login of before.
    let out = signed_out(2);
    assert_eq!(
        attachment_of_login(Some(&out), &chain, false),
        Attachment::SignedOut
    );
    assert_eq!(attachment_of_login(Some(&out), &chain, true), Attachment::Apart);
    for (sign_outs, attachment) in [(1, Attachment::SignedOut), (2, Attachment::Apart)] {
        let mut known = chain.clone();
        known.relayed.origin = Origin::Apart {
            user: user().digest().to_owned(),
            sign_outs,
        };
        assert_eq!(attachment_of_login(Some(&out), &known, true), attachment);
    }
    // A login that the user's grant held when it ended has ended with it.
    let mut ended = signed_out(0);
    ended.relayed.chain = vec!["t0".to_owned()];
    assert_eq!(
        attachment_of_login(Some(&ended), &chain, true),
        Attachment::SignedOut
    );
}

#[test]
fn only_the_record_in_place_of_an_unreadable_one_lets_earlier_logins_go_on() {
    assert!(!replaced_unreadable(None));
    assert!(!replaced_unreadable(Some(&signed_out(1))));
    let marker = above_unreadable();
    assert!(replaced_unreadable(Some(&marker)));
    assert!(is_signed_out_with(Some(&marker), &login(0)));
}

fn above_unreadable() -> GrantRecord {
    use tokenward_control::upstream::grant::login::NewLogin;
    let login = NewLogin {
        issuer: "i".to_owned(),
        client_id: "c".to_owned(),
        id_token: issued_at(1),
        refresh_token: None,
        lineage: None,
        relayed: tokenward_control::upstream::grant::relayed::Relayed::default(),
        extras: Extras::default(),
    };
    login.supersede_unreadable(Revision(41), 7)
}
