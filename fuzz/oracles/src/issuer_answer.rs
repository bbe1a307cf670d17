//! An issuer's answer: where it is JSON, its top members are read as `serde_json` reads them; where it breaks off, no token
//! comes out that the whole answer does not hold; and nothing deeper, and no half, is ever taken for a token.

use std::fmt;

use secrecy::ExposeSecret;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::dialect::rules::ExchangeGrant;
use tokenward_control::upstream::issuer::answer::body::decode;
use tokenward_control::upstream::issuer::answer::exchange::{ExchangeAnswer, ExchangeCall, read_exchange};
use tokenward_control::upstream::issuer::answer::members::Members;
use tokenward_control::upstream::issuer::answer::{RawAnswer, RefreshAnswer, read_refresh};
use tokenward_control::upstream::issuer::introspection::read_introspection;

const NAMES: [&str; 6] = [
    "refresh_token",
    "id_token",
    "access_token",
    "error",
    "error_description",
    "active",
];
const LONGEST_BYTES: usize = 64 * 1024;

/// Reads an answer: the first byte chooses the status, the rest is the body.
pub fn issuer_answer(data: &[u8]) {
    let (status, body) = match data.split_first() {
        Some((first, body)) => (
            [200, 201, 302, 400, 401, 403, 500, 502][usize::from(first % 8)],
            body,
        ),
        None => (200, data),
    };
    assert!(decode(None, body.to_vec(), LONGEST_BYTES).len() <= 2 * LONGEST_BYTES.max(body.len()));
    let _ = decode(Some("deflate"), body.to_vec(), LONGEST_BYTES);
    let whole = model(body);
    if let Some(model) = &whole {
        same(&Members::read(body, &NAMES), model);
    }
    for end in [body.len() / 2, body.len().saturating_sub(1)] {
        let begun = body.get(..end).unwrap_or_default();
        if let Some(model) = &whole {
            within(&Members::read(begun, &NAMES), model);
        }
        classes(status, begun, true);
    }
    classes(status, body, false);
}

/// Whatever it is, reading it is safe, tokens come out of a success only, and no secret is shown.
fn classes(status: u16, body: &[u8], cut: bool) {
    let answer = RawAnswer {
        status,
        body: body.to_vec(),
        cut,
        ..RawAnswer::default()
    };
    for dialect in Dialect::ALL {
        classes_of(&answer, dialect);
    }
}

fn classes_of(answer: &RawAnswer, dialect: Dialect) {
    let status = answer.status;
    let refreshed = read_refresh(answer, dialect);
    if let RefreshAnswer::Refreshed { refresh_token, .. } = &refreshed {
        assert!(answer.is_success(), "tokens out of status {status}");
        if let Some(token) = refresh_token {
            let token = token.expose_secret();
            assert!(!token.is_empty());
            let shown = format!("{refreshed:?}");
            assert!(token.len() < 32 || !shown.contains(token), "{shown}");
        }
    }
    for grant in [ExchangeGrant::TokenExchange, ExchangeGrant::JwtBearer] {
        let call = ExchangeCall {
            dialect,
            grant,
            requested_token_type: None,
        };
        let exchanged = read_exchange(answer, &call);
        if let ExchangeAnswer::Exchanged(given) = &exchanged {
            assert!(answer.is_success(), "a token out of status {status}");
            let token = given.token.expose_secret();
            let shown = format!("{exchanged:?}");
            assert!(
                !token.is_empty() && (token.len() < 32 || !shown.contains(token)),
                "{shown}"
            );
        }
    }
    if let Ok(introspection) = read_introspection(answer, dialect) {
        let _ = format!("{introspection:?}");
    }
}

/// The members of the whole body; `None` where `serde_json` does not read it.
fn model(body: &[u8]) -> Option<Vec<(String, Value)>> {
    let Top(members) = serde_json::from_slice(body).ok()?;
    Some(members)
}

fn usable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
        _ => false,
    }
}

fn same(read: &Members, model: &[(String, Value)]) {
    assert!(read.is_complete());
    for name in NAMES {
        let last = model
            .iter()
            .rev()
            .find(|(other, value)| other == name && usable(value));
        match (read.text(name), last) {
            (None, None) => {}
            (Some(text), Some((_, Value::String(expected)))) => assert_eq!(text, expected, "{name}"),
            (Some(text), Some((_, number))) => {
                assert_eq!(
                    serde_json::from_str::<Value>(text).ok().as_ref(),
                    Some(number),
                    "{name}"
                );
            }
            (read, expected) => panic!("{name}: {read:?} is not {expected:?}"),
        }
    }
}

/// What is read of a beginning stands in the whole.
fn within(read: &Members, model: &[(String, Value)]) {
    for name in NAMES {
        let Some(text) = read.text(name) else { continue };
        let holds = model.iter().any(|(other, value)| {
            other == name
                && match value {
                    Value::String(whole) => whole == text,
                    // Only the next byte ends a number, so it must have arrived.
                    Value::Number(_) => serde_json::from_str::<Value>(text).ok().as_ref() == Some(value),
                    _ => false,
                }
        });
        assert!(holds, "{name} {text:?} does not stand in the whole answer");
    }
}

/// An object with all its members, repeated names included.
struct Top(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Top;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Top(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}
