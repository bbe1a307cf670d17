//! Authenticates callers: a shared credential, as Basic (RFC 6749 §2.3.1) or Bearer, or in the form of a token request,
//! compared in constant time.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokenward_protocol::form::Form;
use tokenward_protocol::refusal::Refusal;

use super::response;
use crate::app::Service;
use crate::refused::Refused;

/// The Basic user of the filter's credential, and its `client_id`.
pub(super) const FILTER: &str = "filter";
/// The Basic user of the aggregator's credential.
pub(super) const AGGREGATOR: &str = "aggregator";

/// The client authentication in the form of a token request (RFC 6749 §2.3, RFC 7521 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormCredential {
    /// None.
    Absent,
    /// `client_secret_post`, with the credential.
    Valid,
    /// A method or a secret that is not accepted.
    Invalid,
    /// A repeated parameter, or two methods at once.
    Ambiguous,
}

/// Checks the client authentication in `form` against `credential`, whose `client_id` is `user`.
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
            // The secret is compared in any case: the time must not depend on the id.
            let same = same(secret.as_bytes(), credential);
            if same && id == Some(user) {
                FormCredential::Valid
            } else {
                FormCredential::Invalid
            }
        }
        (_, None, Some(_)) => FormCredential::Invalid,
        // A client may send its id beside another method (RFC 6749 §3.2.1).
        (Some(id), None, None) if id != user => FormCredential::Invalid,
        (_, None, None) => FormCredential::Absent,
    }
}

/// Checks that the headers present `credential` for the user `user`.
pub(super) fn check(headers: &HeaderMap, user: &str, credential: &SecretString) -> Result<(), Refused> {
    let Some((scheme, rest)) = presented(headers) else {
        return Err(rejected(user));
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

/// Whether the headers present `credential` for the user `user` as Basic.
pub(super) fn is_basic(headers: &HeaderMap, user: &str, credential: &SecretString) -> bool {
    presented(headers)
        .is_some_and(|(scheme, rest)| scheme.eq_ignore_ascii_case(b"basic") && basic(rest, user, credential))
}

/// Scheme and credential of the one `Authorization` header field.
fn presented(headers: &HeaderMap) -> Option<(&[u8], &[u8])> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let presented = value.as_bytes();
    let at = presented.iter().position(|byte| *byte == b' ')?;
    Some((
        presented.get(..at).unwrap_or_default(),
        presented.get(at..).unwrap_or_default().trim_ascii(),
    ))
}

/// The refusal of a caller that does not present the credential of `user`.
pub(super) fn rejected(user: &str) -> Refused {
    Refused::new(Refusal::CallerRejected).because(format!(
        "present the {user} credential as Authorization: Bearer, or as Basic with the user {user}"
    ))
}

/// Answers a request on a connection without the client certificate that `tls.client_ca` demands.
pub(super) async fn no_certificate(State(service): State<Arc<Service>>) -> Response {
    let refused = Refused::new(Refusal::CallerRejected)
        .because("this listener demands a client certificate: present one that tls.client_ca signed, with a name of tls.client_names");
    service.log_rejected_caller("without a client certificate", &refused);
    response::refusal(&refused)
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
    // RFC 6749 §2.3.1 form-encodes both; many clients send them verbatim. Either way the caller must know the secret.
    let verbatim = same(password.as_bytes(), credential);
    let decoded = form_decoded(password).is_some_and(|password| same(password.as_bytes(), credential));
    verbatim | decoded
}

/// Decodes one form-encoded text; `None` if it is none.
pub(super) fn form_decoded(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return None;
    }
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
}

/// Compares digests in constant time, so that the time does not depend on the length either.
fn same(presented: &[u8], credential: &SecretString) -> bool {
    let presented = Sha256::digest(presented);
    let expected = Sha256::digest(credential.expose_secret().as_bytes());
    bool::from(presented.as_slice().ct_eq(expected.as_slice()))
}
