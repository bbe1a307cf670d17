//! Records as bytes: what was written reads back, and anything else is said to be something else.

use tokenward_control::record::sealed::Sealed;
use tokenward_control::store::{Lineage, StoreError};
use tokenward_control::upstream::grant::login::NewLogin;
use tokenward_control::upstream::grant::record::{
    Extras, GrantKey, GrantRecord, OfUser, StoredAccessToken, StoredIdToken, StoredRefreshToken, fingerprint,
};
use tokenward_control::upstream::grant::relayed::{IssuerWords, Origin, Relayed, StoredResponse};

const SEALED_BYTES: usize = 1_100;

fn record() -> GrantRecord {
    let login = NewLogin {
        issuer: "https://dex.example.com".to_owned(),
        client_id: "muster".to_owned(),
        id_token: StoredIdToken {
            sealed: Sealed::from(vec![7; SEALED_BYTES]),
            fingerprint: fingerprint(&"an ID token".into()),
            exp_seconds: 1_800_000_000,
            issued_at_seconds: Some(1_799_998_200),
            audiences: vec!["muster".to_owned(), "kubernetes".to_owned()],
        },
        refresh_token: Some(StoredRefreshToken {
            sealed: Sealed::from(vec![8; 110]),
            fingerprint: fingerprint(&"a refresh token".into()),
        }),
        lineage: None,
        relayed: Relayed::default(),
        extras: Extras::default(),
    };
    login.supersede(None, 1_799_998_200_000)
}

fn key() -> GrantKey {
    GrantKey::new("https://dex.example.com", "muster", "alice")
}

fn is_unexpected(bytes: &[u8]) -> bool {
    matches!(
        GrantRecord::read(&key().record(), bytes),
        Err(StoreError::Unexpected { .. })
    )
}

#[test]
fn a_grant_reads_back_as_it_was_and_is_hardly_larger_than_its_sealed_tokens() {
    let bytes = record().to_bytes().expect("plain data");
    assert_eq!(
        GrantRecord::read(&key().record(), &bytes).expect("our own"),
        record()
    );
    assert!(bytes.len() < SEALED_BYTES + 110 + 220, "{} bytes", bytes.len());
}

#[test]
fn what_only_few_grants_have_reads_back_too() {
    let rare = GrantRecord {
        lineage: Some(Lineage("1d.7c".to_owned())),
        retired: vec![
            fingerprint(&"one used refresh token".into()),
            fingerprint(&"another".into()),
        ],
        ..record()
    };
    let bytes = rare.to_bytes().expect("plain data");
    assert_eq!(GrantRecord::read(&key().record(), &bytes).expect("our own"), rare);
}

/// What a client of the relay needs, in a record of the present version.
fn relayed() -> GrantRecord {
    GrantRecord {
        relayed: Relayed {
            origin: Origin::Apart {
                user: fingerprint(&"a user".into()),
                sign_outs: 2,
            },
            chain: vec![fingerprint(&"a refresh token".into())],
            response: Some(StoredResponse {
                sealed: Sealed::from(vec![9; 1_000]),
                made_at_ms: 1_799_998_200_000,
                access_expires_at_ms: Some(1_799_998_500_000),
                id_token_fingerprint: Some(fingerprint(&"an ID token".into())),
            }),
            words: Some(IssuerWords {
                status: 400,
                body: b"{}".to_vec(),
            }),
        },
        ..record()
    }
}

#[test]
fn what_the_relay_needs_reads_back_in_the_third_version() {
    let bytes = relayed().to_bytes().expect("plain data");
    assert_eq!(bytes.first(), Some(&3));
    assert_eq!(
        GrantRecord::read(&key().record(), &bytes).expect("our own"),
        relayed()
    );
}

#[test]
fn a_record_that_never_met_the_relay_is_written_and_read_in_the_second_version() {
    let bytes = record().to_bytes().expect("plain data");
    assert_eq!(bytes.first(), Some(&2));
    let learned = GrantRecord {
        relayed: Relayed {
            origin: Origin::Learned,
            ..Relayed::default()
        },
        ..record()
    };
    assert_eq!(learned.to_bytes().expect("plain data").first(), Some(&3));
}

/// A login with a record of its own, and with an access token.
fn with_extras() -> GrantRecord {
    GrantRecord {
        extras: Extras {
            access_token: Some(StoredAccessToken {
                sealed: Sealed::from(vec![9; 700]),
                fingerprint: fingerprint(&"an access token".into()),
                exp_seconds: 1_800_000_000,
                issued_at_seconds: None,
                audiences: vec!["https://api.example.com".to_owned()],
            }),
            of_user: Some(OfUser {
                user: fingerprint(&"a user".into()),
                sign_outs: 3,
            }),
        },
        ..record()
    }
}

#[test]
fn what_only_some_logins_have_reads_back_in_the_fourth_version() {
    for record in [
        with_extras(),
        GrantRecord {
            relayed: relayed().relayed,
            ..with_extras()
        },
    ] {
        let bytes = record.to_bytes().expect("plain data");
        assert_eq!(bytes.first(), Some(&4));
        assert_eq!(
            GrantRecord::read(&key().record(), &bytes).expect("our own"),
            record
        );
    }
}

#[test]
fn a_record_of_the_first_version_is_refused_and_not_taken_for_none() {
    let json = br#"{"format":1,"issuer":"https://dex.example.com","client_id":"muster"}"#;
    assert!(is_unexpected(json));
    assert!(is_unexpected(b""));
}

#[test]
fn a_record_that_is_cut_or_has_more_behind_it_is_refused() {
    let bytes = record().to_bytes().expect("plain data");
    for length in 0..bytes.len() {
        assert!(
            is_unexpected(&bytes[..length]),
            "{length} of {} bytes",
            bytes.len()
        );
    }
    assert!(is_unexpected(&[bytes.as_slice(), &[0]].concat()));
}
