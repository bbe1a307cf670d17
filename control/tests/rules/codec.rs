//! Records as bytes: what was written reads back, and anything else is said to be something else.

use tokenward_control::record::sealed::Sealed;
use tokenward_control::store::{Lineage, StoreError};
use tokenward_control::upstream::grant::login::NewLogin;
use tokenward_control::upstream::grant::record::{
    GrantKey, GrantRecord, StoredIdToken, StoredRefreshToken, fingerprint,
};
use tokenward_control::upstream::grant::relayed::Relayed;

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
