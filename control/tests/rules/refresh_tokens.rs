//! Our own refresh tokens: their text, and what a presented one is due.

use std::time::Duration;

use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use tokenward_control::authorization::family::decide::{
    Presentation, StoredFamily, Verdict, decide, stored_for,
};
use tokenward_control::authorization::family::record::{Burst, RotationId};
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
fn the_newest_rotates_its_burst_and_the_one_before_are_told_apart_and_any_older_one_is_reuse() {
    let family = StoredFamily {
        generation: 5,
        burst_first: 4,
        previous_first: 2,
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
    assert_eq!(verdict(4, true, now_ms), Verdict::OfBurst);
    assert_eq!(verdict(3, true, now_ms), Verdict::BeforeBurst);
    assert_eq!(verdict(2, true, now_ms), Verdict::BeforeBurst);
    assert_eq!(verdict(1, true, now_ms), Verdict::Reuse);
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

fn rotation_id(number: u32) -> RotationId {
    RotationId::from_bytes(u128::from(number).to_be_bytes())
}

/// A login as the rules have it: when each generation was made, and when each was replaced.
#[derive(Debug)]
struct Model {
    made_at: Vec<u64>,
}

impl Model {
    /// The first generation of the burst that `generation` belongs to: rotations within 60 s of its first one.
    fn burst_of(&self, generation: usize) -> usize {
        let mut first = 0;
        for next in 1..=generation {
            // A login's first token is a burst of its own.
            if first == 0 || self.made_at[next] - self.made_at[first] >= 60 {
                first = next;
            }
        }
        first
    }

    /// Whether a use of `generation` shows that two parties have it.
    fn is_reuse(&self, generation: usize, now: u64) -> bool {
        let first = self.burst_of(self.made_at.len() - 1);
        let before = first.checked_sub(1).map(|last| self.burst_of(last));
        let is_open = now - self.made_at[first] < 60;
        generation < first && !(is_open && before.is_some_and(|before| generation >= before))
    }
}

proptest! {
    /// Clients present any generation that they were given, at any time, in any order. The decision, with a window of 60 s, ends
    /// the login for a token that was replaced before the newest burst, except for those of the burst before while the newest
    /// one is open; it never ends it for a token of the newest burst, whatever the time.
    #[test]
    fn decisions_agree_with_the_rule_for_any_order_of_presentations(
        steps in proptest::collection::vec((0_u32..6, 0_u64..90), 1..60)
    ) {
        let mut family = StoredFamily { generation: 0, burst_first: 0, previous_first: 0, logged_in_at_ms: 0 };
        let mut burst = Burst { id: rotation_id(0), first: 0, previous_first: 0 };
        let mut open_until = 0;
        let mut now = 1_u64;
        let mut model = Model { made_at: vec![now] };
        for (behind, pause) in steps {
            now += pause;
            let generation = family.generation.saturating_sub(behind);
            let presented = Presentation { generation, is_proven: true };
            let is_open = now < open_until;
            let ended = match decide(family, presented, now * 1000, HOUR * 24) {
                Verdict::Reuse => true,
                Verdict::BeforeBurst => !is_open,
                Verdict::OfBurst => false,
                Verdict::Rotate(next) => {
                    prop_assert_eq!(next, family.generation + 1);
                    let joined = burst.next(is_open, next, rotation_id(next));
                    if joined != burst {
                        open_until = now + 60;
                    }
                    burst = joined;
                    family = StoredFamily {
                        generation: next,
                        burst_first: burst.first,
                        previous_first: burst.previous_first,
                        logged_in_at_ms: 0,
                    };
                    model.made_at.push(now);
                    continue;
                }
                verdict => panic!("{verdict:?}"),
            };
            prop_assert_eq!(ended, model.is_reuse(generation as usize, now), "{} of {:?} at {}", generation, model, now);
            if ended {
                break;
            }
        }
    }
}
