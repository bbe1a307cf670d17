//! When an issuer permits the next request: `Retry-After`, and what Okta and Auth0 send in its place.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};

use crate::upstream::streak::MAX_RETRY_AFTER_MS;

/// The end of the limited span, Unix seconds: Okta's name for it, and Auth0's.
const RATE_LIMIT_RESETS: [HeaderName; 2] = [
    HeaderName::from_static("x-rate-limit-reset"),
    HeaderName::from_static("x-ratelimit-reset"),
];

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

/// The wait that a response with status 429 states: [`retry_after`], else until the end of the limited span.
#[must_use]
pub fn retry_after_limit(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after(headers, now).or_else(|| {
        let reset = RATE_LIMIT_RESETS.iter().find_map(|name| text(headers, name))?;
        let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(reset.parse().ok()?))?;
        let date = text(headers, &DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        let wait = until.duration_since(date.unwrap_or(now)).unwrap_or_default();
        Some(wait.min(Duration::from_millis(MAX_RETRY_AFTER_MS)))
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then_some(value)
}
