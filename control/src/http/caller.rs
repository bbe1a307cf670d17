//! Who calls: a shared credential, as Basic (RFC 6749 §2.3.1) or Bearer, or in a token request's form, compared in constant
//! time.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;

use crate::config::Credentials;
use crate::refused::Refused;
use crate::serve::Caller;

/// The user of the filter's credential, and its `client_id`.
pub(super) const FILTER: &str = "filter";
/// The user of the aggregator's credential.
pub(super) const AGGREGATOR: &str = "aggregator";

/// Whether the headers show one of the `credentials`.
pub(super) fn of(headers: &HeaderMap, credentials: &Credentials) -> Caller {
    let known = check(headers, FILTER, &credentials.filter).is_ok()
        || check(headers, AGGREGATOR, &credentials.aggregator).is_ok();
    if known { Caller::Known } else { Caller::Unknown }
}

/// How the form of a token request authenticates its client (RFC 6749 §2.3, RFC 7521 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormCredential {
    /// Not at all.
    Absent,
    /// `client_secret_post`, with the credential.
    Valid,
    /// In a way or with a secret that is not accepted.
    Invalid,
    /// A parameter was sent twice, or two ways were taken at once.
    Ambiguous,
}

/// What `form` shows of `credential`, whose `client_id` is `user`.
pub(super) fn in_form(form: &Form, user: &str, credential: &SecretString) -> FormCredential {
    let read = |name| form.once(name);
    let (Ok(id), Ok(secret), Ok(assertion)) =
        (read("client_id"), read("client_secret"), read("client_assertion"))
    else {
        return FormCredential::Ambiguous;
    };
    match (id, secret, assertion) {
        (_, Some(_), Some(_)) => FormCredential::Ambiguous,
        (id, Some(secret), None) => {
            // The secret is looked at in any case.
            let same = same(secret.as_bytes(), credential);
            if same && id == Some(user) {
                FormCredential::Valid
            } else {
                FormCredential::Invalid
            }
        }
        (_, None, Some(_)) => FormCredential::Invalid,
        // A client may repeat its name beside another way (RFC 6749 §3.2.1).
        (Some(id), None, None) if id != user => FormCredential::Invalid,
        (_, None, None) => FormCredential::Absent,
    }
}

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

/// The credential of `user` was not shown.
pub(super) fn rejected(user: &str) -> Refused {
    Refused::new(Refusal::CallerRejected).because(format!(
        "show the {user} credential as Authorization: Bearer, or as Basic with the user {user}"
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
