//! `Retry-After`, in seconds and as a date.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{DATE, HeaderValue, RETRY_AFTER};
use tokenward_control::upstream::issuer::retry_after::{retry_after, retry_after_limit};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW_SECONDS: u64 = 784_111_777;

fn wait_seconds(value: &str, date: Option<&str>) -> Option<u64> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_str(value).expect("a header"));
    if let Some(date) = date {
        headers.insert(DATE, HeaderValue::from_str(date).expect("a header"));
    }
    retry_after(&headers, UNIX_EPOCH + Duration::from_secs(NOW_SECONDS)).map(|wait| wait.as_secs())
}

#[test]
fn seconds_are_a_wait_of_at_most_five_minutes() {
    let cases = [
        ("0", Some(0)),
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("300", Some(300)),
        ("301", Some(300)),
        ("99999999999999999999999999", Some(300)),
        ("-7", None),
        ("7.5", None),
        ("soon", None),
        ("", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(wait_seconds(text, None), seconds, "{text:?}");
    }
}

#[test]
fn a_date_is_a_wait_until_then_in_each_of_its_three_forms() {
    let cases = [
        ("Sun, 06 Nov 1994 08:49:57 GMT", Some(20)),
        ("Sunday, 06-Nov-94 08:49:57 GMT", Some(20)),
        ("Sun Nov  6 08:49:57 1994", Some(20)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
        ("Mon, 07 Nov 1994 08:49:57 GMT", Some(300)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(300)),
        ("Sun, 06 Nov 1994 08:49:57 CET", None),
        ("Sun, 06 Nix 1994 08:49:57 GMT", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(wait_seconds(text, None), seconds, "{text:?}");
    }
}

#[test]
fn a_date_counts_by_the_clock_of_the_response() {
    let in_a_year = "Mon, 06 Nov 1995 08:50:07 GMT";
    assert_eq!(
        wait_seconds(in_a_year, Some("Mon, 06 Nov 1995 08:49:57 GMT")),
        Some(10)
    );
    assert_eq!(wait_seconds(in_a_year, Some("no date")), Some(300));
}

#[test]
fn a_response_without_retry_after_states_no_wait() {
    assert_eq!(retry_after(&HeaderMap::new(), UNIX_EPOCH), None);
}

#[test]
fn the_end_of_a_limited_span_is_a_wait_where_there_is_no_other() {
    let now = UNIX_EPOCH + Duration::from_secs(NOW_SECONDS);
    let wait = |fields: &[(&'static str, String)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_str(value).expect("a header"));
        }
        retry_after_limit(&headers, now).map(|wait| wait.as_secs())
    };
    let at = |seconds: u64| (NOW_SECONDS + seconds).to_string();
    assert_eq!(wait(&[("x-rate-limit-reset", at(20))]), Some(20));
    assert_eq!(wait(&[("x-ratelimit-reset", at(20))]), Some(20));
    assert_eq!(
        wait(&[("x-rate-limit-reset", at(20)), ("retry-after", "5".to_owned())]),
        Some(5)
    );
    assert_eq!(wait(&[("x-rate-limit-reset", "1".to_owned())]), Some(0));
    assert_eq!(wait(&[("x-rate-limit-reset", at(4000))]), Some(300));
    assert_eq!(wait(&[("x-rate-limit-reset", "soon".to_owned())]), None);
    assert_eq!(wait(&[("x-rate-limit-reset", u64::MAX.to_string())]), None);
}
