//! How long an issuer asks to be left alone.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};

use crate::upstream::streak::MAX_RETRY_AFTER_MS;

/// `Retry-After` (RFC 9110 §10.2.3) in either form, at most [`MAX_RETRY_AFTER_MS`]; `None` where it is missing or neither.
/// A date counts from the answer's own `Date`, so that the two clocks need not agree, else from `now`; one in the past is
/// no wait.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let asked = text(headers, &RETRY_AFTER)?;
    let wait = if asked.bytes().all(|letter| letter.is_ascii_digit()) {
        // So many digits that they do not fit are a long time too.
        Duration::from_secs(asked.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(asked).ok()?;
        let from = text(headers, &DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        until.duration_since(from.unwrap_or(now)).unwrap_or_default()
    };
    Some(wait.min(Duration::from_millis(MAX_RETRY_AFTER_MS)))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then_some(value)
}
