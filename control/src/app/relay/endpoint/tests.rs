//! What the issuer gets of a relayed request's head.

use std::time::Duration;

use http::Method;

use super::*;

fn endpoint(own: &str) -> RelayEndpoint {
    let url = |text: &str| Url::parse(text).expect("a URL");
    RelayEndpoint {
        issuer: "https://dex.example.com".to_owned(),
        relay: RelayConfig {
            public_endpoint: url("https://dex.example.com/token"),
            stale_subject_grace: Duration::ZERO,
            deadline: Duration::from_secs(8),
        },
        own: url(own),
        clients: Vec::new(),
    }
}

fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::post(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn shown(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", text(value)))
        .collect()
}

#[test]
fn end_to_end_fields_stay_as_they_are_and_those_of_the_hop_go() {
    let head = head(
        "/token",
        &[
            ("host", "dex.example.com"),
            ("connection", "close, X-This-Hop, host"),
            ("x-twice", "1"),
            ("accept-encoding", "gzip"),
            ("x-twice", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("x-this-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-connection", "close"),
            ("content-length", "3"),
            ("x-forwarded-for", "192.0.2.1"),
        ],
    );
    let request = endpoint("http://dex.dex.svc:5556/dex/token")
        .outgoing(&head)
        .expect("a request");
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.uri(), "http://dex.dex.svc:5556/dex/token");
    assert_eq!(
        shown(request.headers()),
        [
            "host: dex.example.com",
            "x-twice: 1",
            "x-twice: 2",
            "accept-encoding: gzip",
            "content-length: 3",
            "x-forwarded-for: 192.0.2.1",
        ]
    );
}

#[test]
fn the_host_of_the_request_target_is_the_hosts_only_value() {
    let target = "https://dex.example.com/token";
    for headers in [&[][..], &[("host", "other.example.com")]] {
        let request = endpoint("http://dex.dex.svc/token")
            .outgoing(&head(target, headers))
            .expect("a request");
        assert_eq!(shown(request.headers()), ["host: dex.example.com"]);
    }
}

#[test]
fn a_query_is_added_to_that_of_the_issuers_own_address() {
    let uri = |own: &str, target: &str| {
        let request = endpoint(own).outgoing(&head(target, &[]));
        request.expect("a request").uri().to_string()
    };
    let (plain, with_query) = ("http://dex.dex.svc/t", "http://dex.dex.svc/t?p=1");
    assert_eq!(uri(plain, "/token"), plain);
    assert_eq!(uri(plain, "/token?x=%20y&x"), "http://dex.dex.svc/t?x=%20y&x");
    assert_eq!(uri(with_query, "/token"), with_query);
    assert_eq!(uri(with_query, "/token?x=1"), "http://dex.dex.svc/t?p=1&x=1");
}
