//! The `Retry-After` header of an issuer's responses.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};

use crate::upstream::streak::MAX_RETRY_AFTER_MS;

/// `Retry-After` (RFC 9110 §10.2.3) in either form, at most [`MAX_RETRY_AFTER_MS`]; `None` if it is missing or neither. A date
/// counts from the response's own `Date`, so that the two clocks need not agree, else from `now`; a past date is no wait.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    let wait = if value.bytes().all(|letter| letter.is_ascii_digit()) {
        // A number that does not fit is a long time as well.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let from = text(headers, &DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        until.duration_since(from.unwrap_or(now)).unwrap_or_default()
    };
    Some(wait.min(Duration::from_millis(MAX_RETRY_AFTER_MS)))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then_some(value)
}
