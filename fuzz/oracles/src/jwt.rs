//! The token scanner against a plain model on `serde_json`: the same tokens are accepted, with the same claims.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use tokenward_protocol::jwt::{Claims, MAX_TOKEN_BYTES};

use crate::json::agrees;

const HEADER: &[u8] = br#"{"alg":"RS256","kid":"k"}"#;
const PAYLOAD: &[u8] = br#"{"iss":"https://dex.example.com","sub":"s","aud":"kube","exp":1795282565}"#;
const LARGEST_EXACT: u64 = 1 << 53;

/// Reads a token: `p` and a payload, or `h` and a header, get the other parts; anything else is the token itself.
pub fn jwt(data: &[u8]) {
    match data.split_first() {
        Some((b'p', payload)) => check(&token(HEADER, payload)),
        Some((b'h', header)) => check(&token(header, PAYLOAD)),
        _ => check(data),
    }
}

fn token(header: &[u8], payload: &[u8]) -> Vec<u8> {
    let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{payload}.c2lnbmF0dXJl").into_bytes()
}

fn check(token: &[u8]) {
    let read = Claims::read(token).ok();
    if let Some(claims) = &read {
        assert!(claims.exp_seconds <= LARGEST_EXACT);
    }
    if let Some(expected) = expected(token, read.as_ref()) {
        assert_eq!(read, expected);
    }
}

/// What must come out; `None` where the two JSON readers may differ.
fn expected(token: &[u8], read: Option<&Claims>) -> Option<Option<Claims>> {
    let parts: Vec<Vec<u8>> = match token.split(|byte| *byte == b'.').map(decoded).collect() {
        Some(parts) if token.len() <= MAX_TOKEN_BYTES => parts,
        _ => return Some(None),
    };
    let [header, payload, _] = &parts[..] else {
        return Some(None);
    };
    if !agrees(header) || !agrees(payload) {
        return None;
    }
    if let Ok(members) = serde_json::from_slice::<Members>(payload)
        && ["exp", "iat"].iter().any(|name| members.float(name).is_some())
    {
        // serde_json rounds these, and the product does not.
        if let (Some(read), Some(exp)) = (read, members.float("exp")) {
            assert!(
                is_cut_off(read.exp_seconds, exp),
                "{exp} is read as {}",
                read.exp_seconds
            );
        }
        return None;
    }
    Some(claims(header, payload))
}

/// Whether `seconds` is `float` without its fraction, but for what the float itself has lost.
fn is_cut_off(seconds: u64, float: f64) -> bool {
    let whole = float.trunc();
    [whole - 1.0, whole]
        .iter()
        .any(|near| format!("{near:.0}") == seconds.to_string())
}

/// A part that is not empty, in the one way of writing it.
fn decoded(part: &[u8]) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    (!part.is_empty() && URL_SAFE_NO_PAD.encode(&bytes).as_bytes() == part).then_some(bytes)
}

fn claims(header: &[u8], payload: &[u8]) -> Option<Claims> {
    let header: Members = serde_json::from_slice(header).ok()?;
    let payload: Members = serde_json::from_slice(payload).ok()?;
    let alg = header.one("alg")?.as_str()?;
    if alg.is_empty() || alg.eq_ignore_ascii_case("none") {
        return None;
    }
    let audiences = match payload.one("aud")? {
        Value::String(audience) => vec![audience.clone()],
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        _ => return None,
    };
    let issued_at_seconds = match payload.count("iat") {
        0 => None,
        1 => payload.one("iat")?.as_u64(),
        _ => return None,
    };
    Some(Claims {
        exp_seconds: payload.one("exp")?.as_u64().filter(|exp| *exp <= LARGEST_EXACT)?,
        issued_at_seconds,
        issuer: payload.one("iss")?.as_str()?.to_owned(),
        subject: payload.one("sub")?.as_str()?.to_owned(),
        audiences,
    })
}

/// An object with all its members, repeated names included.
struct Members(Vec<(String, Value)>);

impl Members {
    fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(other, _)| other == name).count()
    }

    /// The member where it is a number that is not whole, or is written so.
    fn float(&self, name: &str) -> Option<f64> {
        let value = self.one(name)?;
        value
            .as_f64()
            .filter(|_| value.as_u64().is_none() && value.as_i64().is_none())
    }

    fn one(&self, name: &str) -> Option<&Value> {
        let value = self.0.iter().find(|(other, _)| other == name);
        value.filter(|_| self.count(name) == 1).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}
