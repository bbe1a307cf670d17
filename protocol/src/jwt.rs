//! The claims of a JWT that decide whether it may be forwarded, read **without** verifying its signature.
//!
//! The filter needs no signature: an attacker who forges an `exp` only reaches a server that verifies the token itself.
//! Control verifies every signature before it trusts a claim.
//!
//! Anything that two parsers could understand differently is malformed here: duplicate claims (RFC 7519 §4 allows
//! refusing them), a string as `exp`, numbers above 2^53, which JSON parsers round. A NumericDate may have a fraction
//! or an exponent (RFC 7519 §2, RFC 8259 §6): it is read without rounding and its fraction is cut off, so that no token
//! lives longer because of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::bytes::same_bytes;
use crate::json::{self, Json};

/// Longest token that the filter and control read: Envoy's default limit for all headers of a request together
/// (`max_request_headers_kb`: 60). A token that Envoy lets through must not be refused for its size.
pub const MAX_TOKEN_BYTES: usize = 60 * 1024;

/// Largest integer that every JSON parser represents exactly (RFC 8259 §6).
const LARGEST_EXACT: u64 = 1 << 53;

/// The claims of a token, unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `exp`, Unix seconds.
    pub exp_seconds: u64,
    /// `iat`, Unix seconds, where it is a number.
    pub issued_at_seconds: Option<u64>,
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`, one string or a list of them.
    pub audiences: Vec<String>,
}

/// Why bytes are not a JWT with an expiry. The reason goes to a DEBUG log, never to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not exactly header, payload and signature (RFC 7515 §3.1).
    #[error("not three parts separated by dots")]
    Parts,
    /// A part is empty or not base64url without padding (RFC 7515 §2).
    #[error("a part is not base64url")]
    Base64,
    /// The header is not a JSON object with one `alg`, or `alg` is `none` (RFC 7518 §3.6).
    #[error("the header is not a JSON object that names a signature algorithm")]
    Header,
    /// The payload is not a JSON object with `iss`, `sub`, `aud` and one `exp` that is a number from 0.
    #[error("the payload is not a JSON object with iss, sub, aud and a number as exp")]
    Payload,
    /// `exp` is past 2^53.
    #[error("exp is larger than 2^53")]
    ExpTooLarge,
}

/// What of a token can end before the token expires, besides its user: the session and the signing key that it names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endings {
    /// The claim `sid`: the issuer's session (OpenID Connect Back-Channel Logout §2.1), or the session of an access token of our
    /// own. Absent if it is empty, no text or there twice.
    pub session: Option<String>,
    /// `kid` of the header (RFC 7515 §4.1.4). Absent if it is no text or there twice.
    pub key_id: Option<String>,
}

impl Claims {
    /// Reads the claims of a compact JWS (RFC 7515 §7.1).
    ///
    /// # Errors
    /// [`Malformed`] for everything that is not exactly such a token.
    pub fn read(token: &[u8]) -> Result<Self, Malformed> {
        Self::read_with_endings(token).map(|(claims, _)| claims)
    }

    /// Reads the claims of a compact JWS, and what of it can end.
    ///
    /// # Errors
    /// [`Malformed`] for everything that is not exactly such a token.
    #[inline(never)]
    pub fn read_with_endings(token: &[u8]) -> Result<(Self, Endings), Malformed> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Malformed::TooLong);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed::Parts);
        };
        let header = decode(header)?;
        let header = json::parse(&header).map_err(|_| Malformed::Header)?;
        match text_member(&header, "alg") {
            Some(alg) if !alg.is_empty() && !alg.eq_ignore_ascii_case("none") => {}
            _ => return Err(Malformed::Header),
        }
        decode(signature)?;
        let payload = decode(payload)?;
        let payload = json::parse(&payload).map_err(|_| Malformed::Payload)?;
        let exp = payload
            .member("exp")
            .ok()
            .flatten()
            .and_then(seconds)
            .ok_or(Malformed::Payload)?;
        if exp > LARGEST_EXACT {
            return Err(Malformed::ExpTooLarge);
        }
        let text = |name| {
            text_member(&payload, name)
                .map(str::to_owned)
                .ok_or(Malformed::Payload)
        };
        let endings = Endings {
            session: session(&payload),
            key_id: text_member(&header, "kid").map(str::to_owned),
        };
        let claims = Self {
            exp_seconds: exp,
            // `iat` opens nothing, so what stands there is no reason to refuse the token.
            issued_at_seconds: payload
                .member("iat")
                .map_err(|_| Malformed::Payload)?
                .and_then(seconds),
            issuer: text("iss")?,
            subject: text("sub")?,
            audiences: audiences(payload.member("aud").ok().flatten()).ok_or(Malformed::Payload)?,
        };
        Ok((claims, endings))
    }

    /// Whether every one of `required` is among the token's audiences.
    #[must_use]
    pub fn covers_audiences(&self, required: &[String]) -> bool {
        let has = |required: &str| {
            let mut audiences = self.audiences.iter();
            audiences.any(|audience| same_bytes(audience.as_bytes(), required.as_bytes()))
        };
        required.iter().all(|audience| has(audience))
    }
}

/// The claim `sid` of a token whose other claims [`Claims::read`] has read: most callers need none.
#[must_use]
#[cold]
pub fn session_of(token: &[u8]) -> Option<String> {
    let payload = decode(token.split(|byte| *byte == b'.').nth(1)?).ok()?;
    session(&json::parse(&payload).ok()?)
}

fn session(payload: &Json<'_>) -> Option<String> {
    text_member(payload, "sid")
        .filter(|sid| !sid.is_empty())
        .map(str::to_owned)
}

// Once in the module: a token is read once by each worker, and then compared.
#[inline(never)]
fn decode(part: &[u8]) -> Result<Vec<u8>, Malformed> {
    if part.is_empty() {
        return Err(Malformed::Base64);
    }
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed::Base64)
}

/// The whole seconds of a NumericDate; `None` for anything but a number from 0. Values above 2^53 are only known to be
/// larger.
fn seconds(value: &Json<'_>) -> Option<u64> {
    let Json::Number(number) = value else {
        return None;
    };
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit is too large as well.
        return Some(number.parse().unwrap_or(u64::MAX));
    }
    if number.starts_with('-') {
        return None;
    }
    let (digits, exponent) = match number.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (*number, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let before_point = i64::try_from(whole.len())
        .ok()?
        .saturating_add(i64::from(exponent));
    let mut digits = whole.bytes().chain(fraction.bytes());
    let mut seconds = 0_u64;
    for _ in 0..before_point {
        let digit = match digits.next() {
            Some(digit) => u64::from(digit.saturating_sub(b'0')),
            // Only zeros follow.
            None if seconds == 0 => break,
            None => 0,
        };
        seconds = seconds.saturating_mul(10).saturating_add(digit);
        if seconds > LARGEST_EXACT {
            break;
        }
    }
    Some(seconds)
}

#[inline(never)]
fn text_member<'a>(object: &'a Json<'_>, name: &str) -> Option<&'a str> {
    object.member(name).ok().flatten().and_then(Json::as_text)
}

fn audiences(value: Option<&Json<'_>>) -> Option<Vec<String>> {
    match value? {
        Json::Text(audience) => Some(vec![audience.to_string()]),
        Json::List(items) => items
            .iter()
            .map(|item| item.as_text().map(str::to_owned))
            .collect(),
        _ => None,
    }
}
