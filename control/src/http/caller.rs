//! Who calls: a shared credential, as Basic (RFC 6749 §2.3.1) or Bearer, compared in constant time.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokenward_protocol::refusal::Refusal;

use crate::refused::Refused;

/// Whether the headers show `credential` for the user `user`.
pub(super) fn check(headers: &HeaderMap, user: &str, credential: &SecretString) -> Result<(), Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let shown = match (values.next(), values.next()) {
        (Some(value), None) => value.as_bytes(),
        _ => return Err(rejected(user)),
    };
    let (scheme, rest) = match shown.iter().position(|byte| *byte == b' ') {
        Some(at) => (
            shown.get(..at).unwrap_or_default(),
            shown.get(at..).unwrap_or_default().trim_ascii(),
        ),
        None => return Err(rejected(user)),
    };
    let accepted = if scheme.eq_ignore_ascii_case(b"bearer") {
        same(rest, credential)
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        basic(rest, user, credential)
    } else {
        false
    };
    if accepted { Ok(()) } else { Err(rejected(user)) }
}

fn rejected(user: &str) -> Refused {
    Refused::new(Refusal::CallerRejected).because(format!(
        "show the {user} credential as Authorization: Bearer, or as Basic with user {user:?}"
    ))
}

fn basic(encoded: &[u8], user: &str, credential: &SecretString) -> bool {
    let Ok(decoded) = STANDARD.decode(encoded) else {
        return false;
    };
    let Ok(pair) = std::str::from_utf8(&decoded) else {
        return false;
    };
    let Some((name, password)) = pair.split_once(':') else {
        return false;
    };
    if name != user && form_decoded(name).as_deref() != Some(user) {
        return false;
    }
    // RFC 6749 has both form-encoded; many clients send them as they are. Either way the caller must know it.
    let as_is = same(password.as_bytes(), credential);
    let decoded = form_decoded(password).is_some_and(|password| same(password.as_bytes(), credential));
    as_is | decoded
}

/// `None` when the text cannot be form-encoded.
fn form_decoded(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return None;
    }
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
}

/// Digests first: the comparison then tells nothing about the length either.
fn same(shown: &[u8], credential: &SecretString) -> bool {
    let shown = Sha256::digest(shown);
    let expected = Sha256::digest(credential.expose_secret().as_bytes());
    bool::from(shown.as_slice().ct_eq(expected.as_slice()))
}
