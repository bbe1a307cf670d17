//! The identity of an exchanged token, and its record.

use tokenward_control::config::{ExchangeConfig, TokenSource, Verification};
use tokenward_control::record::sealed::Sealed;
use tokenward_control::upstream::dialect::rules::{ExchangeGrant, SubjectKind, TOKEN_TYPE_JWT};
use tokenward_control::upstream::exchange::record::{ExchangeKey, ExchangeRecord, ExchangedToken, of_streak};
use tokenward_control::upstream::grant::record::GrantKey;
use tokenward_control::upstream::streak::{StreakKind, failed};
use tokenward_control::upstream::token_kind::TokenKind;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::TOKEN_TYPE_ACCESS_TOKEN;

use crate::config::{Folder, GOOD, parse};

/// The digest that version 0.1.0 computes for the exchange of [`GOOD`].
const OF_AN_EARLIER_VERSION: &str = "6a098c8120aad50c48e3d68682e5604e07e1b68060198d1c5060d13bc744b945";

fn good() -> ExchangeConfig {
    let config = parse(&Folder::new(), GOOD).expect("good");
    match config.server("remote-1").map(|server| &server.token) {
        Some(TokenSource::Exchange(exchange)) => exchange.as_ref().clone(),
        _ => panic!("remote-1 exchanges"),
    }
}

fn key(config: &ExchangeConfig) -> String {
    let grant = GrantKey::new("https://dex.example.com", "muster", "alice");
    let key = ExchangeKey::new(&grant, config, &["api".to_owned()]);
    key.digest().to_owned()
}

#[test]
fn tokens_of_an_exchange_that_an_earlier_version_made_are_found_again() {
    assert_eq!(key(&good()), OF_AN_EARLIER_VERSION);
}

#[test]
fn everything_that_determines_a_token_is_part_of_its_key() {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let pairs = |values: &[(&str, &str)]| {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        values.iter().map(owned).collect::<Vec<_>>()
    };
    let plain = good();
    let changes: Vec<(&str, ExchangeConfig)> = vec![
        ("nothing", plain.clone()),
        (
            "grant",
            ExchangeConfig {
                grant: ExchangeGrant::JwtBearer,
                ..plain.clone()
            },
        ),
        (
            "subject",
            ExchangeConfig {
                subject: SubjectKind::AccessToken,
                ..plain.clone()
            },
        ),
        (
            "subject type",
            ExchangeConfig {
                subject_token_type: "https://a.example/t".to_owned(),
                ..plain.clone()
            },
        ),
        (
            "no requested type",
            ExchangeConfig {
                requested_token_type: None,
                ..plain.clone()
            },
        ),
        (
            "requested access token",
            ExchangeConfig {
                requested_token_type: Some(TOKEN_TYPE_ACCESS_TOKEN.to_owned()),
                ..plain.clone()
            },
        ),
        (
            "requested JWT",
            ExchangeConfig {
                requested_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
                ..plain.clone()
            },
        ),
        (
            "audience",
            ExchangeConfig {
                audience: texts(&["a", "b"]),
                ..plain.clone()
            },
        ),
        (
            "one audience",
            ExchangeConfig {
                audience: texts(&["a b"]),
                ..plain.clone()
            },
        ),
        (
            "parameter",
            ExchangeConfig {
                parameters: pairs(&[("a", "b")]),
                ..plain.clone()
            },
        ),
        (
            "its value",
            ExchangeConfig {
                parameters: pairs(&[("a", "c")]),
                ..plain.clone()
            },
        ),
        (
            "introspection",
            ExchangeConfig {
                verification: Verification::Introspection,
                ..plain.clone()
            },
        ),
        (
            "expires_in",
            ExchangeConfig {
                verification: Verification::ExpiresIn,
                ..plain.clone()
            },
        ),
        (
            "connector",
            ExchangeConfig {
                connector_id: Some("other".to_owned()),
                ..plain.clone()
            },
        ),
        (
            "scopes",
            ExchangeConfig {
                scopes: "openid".to_owned(),
                ..plain.clone()
            },
        ),
        (
            "client",
            ExchangeConfig {
                client_id: "other".to_owned(),
                ..plain
            },
        ),
    ];
    let keys: Vec<(&str, String)> = changes
        .iter()
        .map(|(name, config)| (*name, key(config)))
        .collect();
    for (index, (name, one)) in keys.iter().enumerate() {
        for (other_name, other) in keys.iter().skip(index + 1) {
            assert_ne!(one, other, "{name} and {other_name}");
        }
    }
}

fn token() -> ExchangedToken {
    ExchangedToken {
        sealed: Sealed::from(vec![7; 900]),
        exp_seconds: 1_800_000_000,
        issued_at_seconds: Some(1_799_998_200),
        made_at_ms: 1_799_998_200_000,
    }
}

#[test]
fn a_record_with_an_id_token_is_written_as_the_version_before_has_it() {
    let key = ExchangeKey::from_digest("0".repeat(64)).record();
    let denied = failed(None, StreakKind::Denied, None, 5, 0);
    let of_access = ExchangeRecord {
        is_access_token: true,
        ..ExchangeRecord::of(Some(token()), None)
    };
    let interaction = failed(None, StreakKind::Interaction, None, 5, 0);
    let rows = [
        (ExchangeRecord::of(Some(token()), None), 2, TokenKind::IdToken),
        (ExchangeRecord::of(None, Some(denied)), 2, TokenKind::IdToken),
        (of_access, 3, TokenKind::AccessToken),
        (ExchangeRecord::of(None, Some(interaction)), 3, TokenKind::IdToken),
    ];
    for (record, version, kind) in rows {
        let bytes = record.to_bytes().expect("plain data");
        assert_eq!(bytes.first(), Some(&version), "{record:?}");
        let read = ExchangeRecord::read(&key, &bytes).expect("our own");
        assert_eq!((&read, read.kind()), (&record, kind));
        assert!(ExchangeRecord::read(&key, &bytes[..bytes.len() - 1]).is_err());
    }
}

/// The user must act at the remote issuer: a login at home would be for nothing.
#[test]
fn an_interaction_at_a_remote_issuer_sends_no_user_to_log_in_at_home() {
    let refused = of_streak(&failed(None, StreakKind::Interaction, None, 5, 0));
    assert_eq!(refused.refusal, Refusal::ExchangeUnavailable);
    assert!(
        refused.cause.contains("another login here does not help"),
        "{}",
        refused.cause
    );
}
