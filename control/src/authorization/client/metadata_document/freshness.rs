//! How long a document is fresh: by its HTTP headers (RFC 9111 §4.2), within our own bounds.

use std::time::Duration;

use reqwest::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderMap, HeaderName};

/// A document is fetched again at most this often, whatever its headers state.
pub const SHORTEST: Duration = Duration::from_secs(60);
/// A document is fetched again after this time at the latest.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How much longer the response with these headers is fresh.
#[must_use]
pub fn fresh_for(headers: &HeaderMap) -> Duration {
    let age = seconds_of(headers, &AGE).unwrap_or_default();
    lifetime(headers)
        .unwrap_or_default()
        .saturating_sub(age)
        .clamp(SHORTEST, LONGEST)
}

fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all(CACHE_CONTROL).iter();
    let directives = fields
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut max_age = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => {
                let seconds = value.trim().trim_matches('"').parse().ok();
                max_age = seconds.map(Duration::from_secs);
            }
            _ => {}
        }
    }
    let date = |name: &HeaderName| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok();
    let expires = || date(&EXPIRES)?.duration_since(date(&DATE)?).ok();
    max_age.or_else(expires)
}

fn seconds_of(headers: &HeaderMap, name: &HeaderName) -> Option<Duration> {
    let seconds = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
