//! The bearer token of a request (RFC 6750 §2.1), read from raw header bytes.

use crate::jwt::Malformed;
use crate::refusal::Refusal;

/// The token inside the `Authorization` header values of one request.
///
/// `values` are all values of that header, in order, as bytes: a client can send any byte, and with two headers the
/// next server might read another one than this gateway.
///
/// # Errors
/// [`Refusal::AmbiguousBearer`] for more than one header; [`Refusal::MissingBearer`] for none, an empty one or another
/// scheme. The token itself is not checked here.
pub fn bearer_token<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<&'a [u8], Refusal> {
    let Some(value) = values.next() else {
        return Err(Refusal::MissingBearer);
    };
    if values.next().is_some() {
        return Err(Refusal::AmbiguousBearer);
    }
    // As nearly every client writes it: nothing to trim, and no letter to compare in two cases.
    if let Some(token @ [first, .., last]) = value.strip_prefix(b"Bearer ")
        && !(first.is_ascii_whitespace() || last.is_ascii_whitespace())
    {
        return Ok(token);
    }
    let value = value.trim_ascii();
    let Some((scheme, token)) = value.split_at_checked(6) else {
        return Err(Refusal::MissingBearer);
    };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(Refusal::MissingBearer);
    }
    // `Bearertoken` is another scheme; `Bearer` alone has no token.
    match token.first() {
        None => return Err(Refusal::MissingBearer),
        Some(b' ' | b'\t') => {}
        Some(_) => return Err(Refusal::MissingBearer),
    }
    Ok(token.trim_ascii())
}

/// The refusal for a bearer that is no readable token. Two tokens in one header, joined by a comma as proxies join
/// repeated headers or by a blank, are a different mistake of the caller than a malformed token. One that is too large
/// has its own refusal, because a new login would bring it again.
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
