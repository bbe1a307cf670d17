//! Sealing: only the right key and the right name open a value, and every other attempt fails with its own error.

use secrecy::{ExposeSecret, SecretString};
use tokenward_control::record::keyring::{BadKey, KeyRing, SealingKey, UnsealError};

/// base64 of the bytes 0 to 31.
const KEY_A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// base64 of the bytes 31 to 0.
const KEY_B: &str = "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
const NAME: &str = "grant:abc";
const TOKEN: &[u8] = b"a refresh token";

fn key(id: &str, base64: &str) -> SealingKey {
    SealingKey::from_base64(id, &SecretString::from(base64)).expect("a good key")
}

fn ring(current: SealingKey, previous: Vec<SealingKey>) -> KeyRing {
    KeyRing::new(current, previous).expect("distinct ids")
}

fn ring_a() -> KeyRing {
    ring(key("a", KEY_A), Vec::new())
}

fn failure(ring: &KeyRing, name: &str, sealed: &[u8]) -> UnsealError {
    ring.open(name, sealed).expect_err("it must not open")
}

#[test]
fn what_was_sealed_opens_under_its_name() {
    let ring = ring_a();
    for plaintext in [&b""[..], TOKEN, &[0; 100_000]] {
        let sealed = ring.seal(NAME, plaintext).expect("random bytes");
        assert_eq!(
            ring.open(NAME, &sealed).expect("it opens").expose_secret(),
            plaintext
        );
        assert_eq!(sealed.len(), 1 + 1 + 1 + 24 + plaintext.len() + 16);
    }
}

#[test]
fn a_sealed_value_shows_nothing_and_never_repeats() {
    let ring = ring_a();
    let mut sealed: Vec<Vec<u8>> = (0..100)
        .map(|_| ring.seal(NAME, TOKEN).expect("random bytes"))
        .collect();
    assert_eq!(
        sealed
            .iter()
            .filter(|sealed| sealed.windows(7).any(|part| part == b"refresh"))
            .count(),
        0
    );
    sealed.sort();
    sealed.dedup();
    assert_eq!(sealed.len(), 100);
}

#[test]
fn a_value_moved_to_another_name_does_not_open() {
    let ring = ring_a();
    let sealed = ring.seal(NAME, TOKEN).expect("random bytes");
    for name in ["grant:abd", "grant:ab", "session:abc", ""] {
        assert_eq!(
            failure(&ring, name, &sealed),
            UnsealError::Tampered { id: "a".to_owned() }
        );
    }
}

#[test]
fn every_changed_bit_is_detected() {
    let ring = ring_a();
    let sealed = ring.seal(NAME, TOKEN).expect("random bytes");
    let mut detected = 0;
    for index in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[index] ^= 1 << bit;
            let error = failure(&ring, NAME, &changed);
            match index {
                0 => assert!(matches!(error, UnsealError::Format { .. }), "{error:?}"),
                1 => assert!(!matches!(error, UnsealError::Tampered { .. }), "{error:?}"),
                2 => assert!(
                    matches!(error, UnsealError::UnknownKey { .. } | UnsealError::Format { .. }),
                    "{error:?}"
                ),
                _ => assert_eq!(error, UnsealError::Tampered { id: "a".to_owned() }),
            }
            detected += 1;
        }
    }
    assert_eq!(detected, sealed.len() * 8);
}

#[test]
fn every_truncation_is_detected() {
    let ring = ring_a();
    let sealed = ring.seal(NAME, TOKEN).expect("random bytes");
    let formats = (0..sealed.len())
        .filter(|&length| {
            matches!(
                failure(&ring, NAME, &sealed[..length]),
                UnsealError::Format { .. }
            )
        })
        .count();
    assert_eq!(
        formats,
        1 + 1 + 1 + 24,
        "less than a whole header is not a sealed value"
    );
}

#[test]
fn previous_keys_open_and_the_current_key_seals() {
    let old = ring(key("k0", KEY_A), Vec::new());
    let sealed = old.seal(NAME, TOKEN).expect("random bytes");
    let rotated = ring(key("k1", KEY_B), vec![key("k0", KEY_A)]);
    assert_eq!(
        rotated
            .open(NAME, &sealed)
            .expect("k0 is still there")
            .expose_secret(),
        TOKEN
    );
    assert!(!rotated.is_current(&sealed));
    let again = rotated.seal(NAME, TOKEN).expect("random bytes");
    assert!(rotated.is_current(&again));
    assert_eq!(
        failure(&old, NAME, &again),
        UnsealError::UnknownKey { id: "k1".to_owned() }
    );
    let retired = ring(key("k1", KEY_B), Vec::new());
    assert_eq!(
        retired.open(NAME, &again).expect("k1 sealed it").expose_secret(),
        TOKEN
    );
    let error = failure(&retired, NAME, &sealed);
    assert_eq!(error, UnsealError::UnknownKey { id: "k0".to_owned() });
    assert!(error.to_string().contains("sealing.previous"), "{error}");
}

#[test]
fn another_key_under_the_same_id_does_not_open() {
    let sealed = ring_a().seal(NAME, TOKEN).expect("random bytes");
    let other = ring(key("a", KEY_B), Vec::new());
    assert_eq!(
        failure(&other, NAME, &sealed),
        UnsealError::Tampered { id: "a".to_owned() }
    );
}

#[test]
fn keys_that_protect_nothing_are_refused_with_the_fix() {
    let bad = [
        ("", "instead of 32"),
        (
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "one byte repeated",
        ),
        (
            "/////////////////////////////////////////////////w==",
            "instead of 32",
        ),
        (
            "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
            "one byte repeated",
        ),
        ("AAECAwQFBgcICQoLDA0ODw==", "16 bytes"),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI=", "35 bytes"),
        ("secret-that-is-not-base64!!", "not base64"),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "not base64"),
    ];
    for (base64, expected) in bad {
        let error = SealingKey::from_base64("k1", &SecretString::from(base64)).expect_err(expected);
        let text = format!("{error} {error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            text.contains("openssl rand -base64 32") && text.contains("k1"),
            "{text}"
        );
        assert!(base64.is_empty() || !text.contains(base64), "{text}");
    }
}

#[test]
fn white_space_around_a_key_file_is_not_part_of_the_key() {
    let sealed = ring_a().seal(NAME, TOKEN).expect("random bytes");
    let with_newline = ring(key("a", &format!(" {KEY_A}\r\n")), Vec::new());
    assert!(with_newline.open(NAME, &sealed).is_ok());
}

#[test]
fn key_ids_are_short_printable_and_distinct() {
    for id in ["", "a b", "k\n1", "é", &"x".repeat(65)] {
        let error = SealingKey::from_base64(id, &SecretString::from(KEY_A)).expect_err("a bad id");
        assert!(matches!(error, BadKey::Id { .. }), "{error:?}");
    }
    let twice = KeyRing::new(key("a", KEY_A), vec![key("b", KEY_B), key("a", KEY_B)]).expect_err("twice");
    assert_eq!(twice, BadKey::DuplicateId { id: "a".to_owned() });
}

#[test]
fn debug_shows_ids_and_no_key() {
    let ring = ring(key("k1", KEY_A), vec![key("k0", KEY_B)]);
    let text = format!("{ring:?}");
    assert!(text.contains("k1") && text.contains("k0"), "{text}");
    assert!(
        !text.contains(KEY_A) && !text.contains("31, 30") && text.len() < 120,
        "{text}"
    );
    let sealed = ring.seal(NAME, TOKEN).expect("random bytes");
    let opened = ring.open(NAME, &sealed).expect("it opens");
    assert!(!format!("{opened:?}").contains("114"), "{opened:?}");
}
