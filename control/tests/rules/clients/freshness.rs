//! How long a document is fresh, by its headers and within our own bounds.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokenward_control::authorization::client::metadata_document::freshness::{LONGEST, SHORTEST, fresh_for};

fn of(fields: &[(&'static str, &'static str)]) -> Duration {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    fresh_for(&headers)
}

#[test]
fn a_document_is_fresh_as_its_host_states_between_a_minute_and_a_day() {
    let hour = Duration::from_secs(3600);
    let date = ("date", "Mon, 30 Nov 2026 12:00:00 GMT");
    let expires = ("expires", "Mon, 30 Nov 2026 13:00:00 GMT");
    for (fields, expected) in [
        (vec![], SHORTEST),
        (vec![("cache-control", "max-age=3600")], hour),
        (vec![("cache-control", "public, Max-Age=\"3600\"")], hour),
        (
            vec![("cache-control", "max-age=3600"), ("age", "600")],
            hour - Duration::from_secs(600),
        ),
        (vec![("cache-control", "max-age=3600"), ("age", "9999")], SHORTEST),
        (vec![("cache-control", "max-age=31536000")], LONGEST),
        (vec![("cache-control", "max-age=18446744073709551615")], LONGEST),
        (vec![("cache-control", "max-age=3600, no-store")], SHORTEST),
        (
            vec![("cache-control", "no-cache"), ("cache-control", "max-age=3600")],
            SHORTEST,
        ),
        (vec![("cache-control", "max-age=soon")], SHORTEST),
        (vec![date, expires], hour),
        (
            vec![date, expires, ("cache-control", "max-age=120")],
            Duration::from_secs(120),
        ),
        (vec![expires], SHORTEST),
    ] {
        assert_eq!(of(&fields), expected, "{fields:?}");
    }
}
