//! The bearer token of a request (RFC 6750 §2.1), read from raw header bytes.

use crate::jwt::Malformed;
use crate::refusal::Refusal;

/// The token inside the `Authorization` header values of one request.
///
/// `values` are all values of that header, in order, as bytes: a client can send any byte, and two headers
/// mean that the server behind might read another one than this gateway did.
///
/// # Errors
/// [`Refusal::AmbiguousBearer`] for more than one header, [`Refusal::MissingBearer`] for none, an empty one or
/// another scheme. What follows `Bearer` is not looked at: reading it as a token does that.
pub fn bearer_token<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<&'a [u8], Refusal> {
    let Some(value) = values.next() else {
        return Err(Refusal::MissingBearer);
    };
    if values.next().is_some() {
        return Err(Refusal::AmbiguousBearer);
    }
    let value = value.trim_ascii();
    let Some((scheme, token)) = value.split_at_checked(6) else {
        return Err(Refusal::MissingBearer);
    };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Refusal::MissingBearer);
    }
    // `Bearertoken` is another scheme, `Bearer` alone carries no token.
    match token.first() {
        None => return Err(Refusal::MissingBearer),
        Some(b' ' | b'\t') => {}
        Some(_) => return Err(Refusal::MissingBearer),
    }
    Ok(token.trim_ascii())
}

/// Why a bearer that is no readable token is refused. Two tokens in one header, joined by a comma as proxies join
/// repeated headers or by a blank, are told from one that is malformed: the caller's fault is another. One that is too
/// large has a refusal of its own: a new login would bring it again.
#[must_use]
pub fn why_malformed(token: &[u8], fault: Malformed) -> Refusal {
    if token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',')) {
        Refusal::AmbiguousBearer
    } else if fault == Malformed::TooLong {
        Refusal::TokenTooLarge
    } else {
        Refusal::MalformedBearer
    }
}
