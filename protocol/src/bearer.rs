//! The bearer token of a request (RFC 6750 §2.1), read from raw header bytes.

use crate::refusal::Refusal;

/// The token inside the `Authorization` header values of one request.
///
/// `values` are all values of that header, in order, as bytes: a client can send any byte, and two headers
/// mean that the server behind might read another one than this gateway did.
///
/// # Errors
/// [`Refusal::AmbiguousBearer`] for more than one header, [`Refusal::MissingBearer`] for none, an empty one or
/// another scheme, [`Refusal::MalformedBearer`] when what follows `Bearer` cannot be one token.
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
    let token = token.trim_ascii();
    // A comma or an inner blank is how proxies join repeated headers: never guess which part is meant.
    if token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',')) {
        return Err(Refusal::AmbiguousBearer);
    }
    Ok(token)
}
