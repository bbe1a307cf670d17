//! Our own refresh tokens: their text, and what a presented one is due.

use std::time::Duration;

use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use tokenward_control::authorization::family::decide::{
    Presentation, StoredFamily, Verdict, decide, stored_for,
};
use tokenward_control::authorization::family::token::{
    FamilySecret, PresentedRefreshToken, is_session_id, new_session_id,
};
use tokenward_control::authorization::login::is_same_resource;
use tokenward_control::authorization::pkce;

const HOUR: Duration = Duration::from_secs(3600);

fn secret(byte: u8) -> FamilySecret {
    FamilySecret::from_bytes([byte; 32])
}

#[test]
fn a_token_is_proven_by_its_family_alone() {
    let session = new_session_id().expect("random bytes");
    let token = secret(1).token(&session, 7).expect("a session id");
    assert_eq!(token.expose_secret().len(), 75);
    let presented = PresentedRefreshToken::read(&token).expect("a refresh token");
    assert_eq!(presented.generation, 7);
    assert_eq!(presented.session().expose_secret(), session.expose_secret());
    assert!(presented.is_proven_by(&secret(1)));
    assert!(!presented.is_proven_by(&secret(2)));
}

#[test]
fn every_changed_character_spoils_a_token() {
    let session = new_session_id().expect("random bytes");
    let token = secret(1).token(&session, 0).expect("a session id");
    let token = token.expose_secret();
    for at in 0..token.len() {
        let mut changed = token.to_owned();
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        changed.replace_range(at..=at, other);
        let proven = PresentedRefreshToken::read(&changed.clone().into())
            .is_some_and(|presented| presented.is_proven_by(&secret(1)));
        assert!(!proven, "{changed}");
    }
    for text in [
        String::new(),
        format!("{token}A"),
        token[..70].to_owned(),
        token.to_uppercase(),
    ] {
        assert!(
            PresentedRefreshToken::read(&text.clone().into()).is_none(),
            "{text}"
        );
    }
}

#[test]
fn a_session_id_of_a_login_is_16_bytes_in_hex() {
    for (id, is_one) in [
        ("0123456789abcdef0123456789abcdef", true),
        ("0123456789ABCDEF0123456789ABCDEF", false),
        ("0123456789abcdef0123456789abcde", false),
        ("0123456789abcdef0123456789abcdef00", false),
        ("", false),
    ] {
        let id = SecretString::from(id);
        assert_eq!(is_session_id(&id), is_one, "{id:?}");
        assert_eq!(secret(1).token(&id, 0).is_ok(), is_one);
    }
}

#[test]
fn the_newest_generation_rotates_the_one_before_is_answered_again_and_any_older_one_is_reuse() {
    let family = StoredFamily {
        generation: 5,
        logged_in_at_ms: 1_000_000,
    };
    let verdict = |generation, is_proven, now_ms| {
        let presented = Presentation {
            generation,
            is_proven,
        };
        decide(family, presented, now_ms, HOUR)
    };
    let now_ms = 2_000_000;
    assert_eq!(verdict(5, true, now_ms), Verdict::Rotate(6));
    assert_eq!(verdict(4, true, now_ms), Verdict::Replay);
    assert_eq!(verdict(3, true, now_ms), Verdict::Reuse);
    assert_eq!(verdict(0, true, now_ms), Verdict::Reuse);
    // The store has lost rotations: what the client has was given by us.
    assert_eq!(verdict(6, true, now_ms), Verdict::Rotate(7));
    assert_eq!(verdict(9, true, now_ms), Verdict::Rotate(10));
    for generation in [0, 3, 4, 5, 6, u32::MAX] {
        assert_eq!(
            verdict(generation, false, now_ms),
            Verdict::Unknown,
            "{generation}"
        );
    }
    assert_eq!(verdict(5, true, 1_000_000 + 3_600_000), Verdict::Expired);
    assert_eq!(verdict(0, true, 1_000_000 + 3_600_000), Verdict::Expired);
    // A clock that is behind the one of the login.
    assert_eq!(verdict(5, true, 910_000), Verdict::Rotate(6));
    assert_eq!(verdict(u32::MAX, true, now_ms), Verdict::Expired);
}

#[test]
fn a_login_is_stored_until_it_is_idle_too_long_or_over() {
    let stored = |now_ms| stored_for(1_000_000, now_ms, HOUR, HOUR * 3);
    assert_eq!(stored(1_000_000), HOUR);
    assert_eq!(stored(1_000_000 + 3_600_000), HOUR);
    assert_eq!(stored(1_000_000 + 2 * 3_600_000 + 1_800_000), HOUR / 2);
    assert_eq!(stored(1_000_000 + 4 * 3_600_000), Duration::ZERO);
    assert_eq!(stored(910_000), HOUR);
}

#[test]
fn a_slash_after_a_bare_host_is_the_only_difference_between_equal_resources() {
    let cases = [
        ("https://h", "https://h/", true),
        ("https://h/", "https://h", true),
        ("https://h:8443", "https://h:8443/", true),
        ("https://h/a", "https://h/a", true),
        ("https://h/a", "https://h/a/", false),
        ("https://h", "https://h//", false),
        ("https://h?q", "https://h?q/", false),
        ("https://h", "http://h", false),
        ("https://h", "https://H", false),
        ("h", "h/", false),
    ];
    for (own, sent, same) in cases {
        assert_eq!(is_same_resource(own, sent), same, "{own} {sent}");
    }
}

#[test]
fn a_verifier_proves_the_challenge_of_rfc_7636_and_no_other() {
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    assert!(pkce::is_verifier_of(verifier, challenge));
    assert!(!pkce::is_verifier_of(challenge, challenge));
    assert!(!pkce::is_verifier_of(verifier, verifier));
    for (text, is_one) in [
        ("a".repeat(42), false),
        ("a".repeat(43), true),
        ("~".repeat(128), true),
        ("a".repeat(129), false),
        (format!("{}+", "a".repeat(50)), false),
        (format!("{}=", "a".repeat(50)), false),
        (format!("{}ä", "a".repeat(50)), false),
    ] {
        assert_eq!(pkce::is_well_formed(&text), is_one, "{text}");
    }
}

/// A family as the rules have it: which generations were used, and when the last rotation was.
#[derive(Debug, Default)]
struct Model {
    newest: u32,
    rotated_at: Option<u64>,
}

proptest! {
    /// Clients present any generation that they were given, at any time, in any order. The decision, with a window of 60 s,
    /// does what RFC 9700 §4.14.2 and the window say: a token opens a new generation once, is answered again only within the
    /// window and before its successor is used, and ends the login otherwise.
    #[test]
    fn decisions_agree_with_the_rule_for_any_order_of_presentations(
        steps in proptest::collection::vec((0_u32..4, 0_u64..90), 1..60)
    ) {
        let mut family = StoredFamily { generation: 0, logged_in_at_ms: 0 };
        let mut window_until = 0;
        let mut model = Model::default();
        let mut now = 1_u64;
        for (behind, pause) in steps {
            now += pause;
            let generation = model.newest.saturating_sub(behind);
            let presented = Presentation { generation, is_proven: true };
            let verdict = decide(family, presented, now * 1000, HOUR * 24);
            let answer_is_stored = now < window_until;
            let ended = matches!(verdict, Verdict::Reuse) || (verdict == Verdict::Replay && !answer_is_stored);
            let expected_ended = generation != model.newest
                && !(generation + 1 == model.newest && model.rotated_at.is_some_and(|at| now - at < 60));
            prop_assert_eq!(ended, expected_ended);
            if ended {
                break;
            }
            if let Verdict::Rotate(next) = verdict {
                prop_assert_eq!(next, model.newest + 1);
                family.generation = next;
                window_until = now + 60;
                model.newest = next;
                model.rotated_at = Some(now);
            }
        }
    }
}
