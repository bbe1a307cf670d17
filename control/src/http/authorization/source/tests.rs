use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue};

use super::source;
use crate::authorization::source::Source;

const PEER: &str = "10.0.0.1";

fn of(fields: &[&'static str], trusted_proxies: usize) -> Source {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append("x-forwarded-for", HeaderValue::from_static(field));
    }
    source(&headers, address(PEER), trusted_proxies)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn without_a_trusted_proxy_the_header_is_not_read() {
    assert_eq!(of(&["192.0.2.1"], 0), address(PEER).into());
}

#[test]
fn the_address_that_the_outermost_trusted_proxy_appended_is_the_source() {
    let fields = ["203.0.113.66, 192.0.2.1", "198.51.100.2"];
    assert_eq!(of(&fields, 1), address("198.51.100.2").into());
    assert_eq!(of(&fields, 2), address("192.0.2.1").into());
}

#[test]
fn a_client_cannot_choose_its_source() {
    let forged = ["203.0.113.1, 203.0.113.2, 192.0.2.1"];
    assert_eq!(of(&forged, 1), address("192.0.2.1").into());
    assert_eq!(of(&["192.0.2.1"], 2), address(PEER).into());
    assert_eq!(of(&["unknown"], 1), address(PEER).into());
    assert_eq!(of(&[], 1), address(PEER).into());
}

#[test]
fn an_address_may_have_a_port() {
    assert_eq!(of(&["192.0.2.1:4711"], 1), address("192.0.2.1").into());
    assert_eq!(of(&["[2001:db8::1]:4711"], 1), address("2001:db8::1").into());
    assert_eq!(of(&["[2001:db8::1]"], 1), address("2001:db8::2").into());
    assert_eq!(of(&["2001:db8::1"], 1), address("2001:db8::1").into());
}
