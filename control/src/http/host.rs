//! Checks the host of a request: it is named once and consistently, or the request is refused. Two parsers may read an
//! ambiguous host differently.

use axum::body::Body;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Request, Version};

/// Why a request's host is invalid (RFC 9112 §3.2, RFC 9113 §8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHost {
    #[error("the request must have one Host header field")]
    Missing,
    #[error("the request has more than one Host header field")]
    Several,
    #[error("the request's host is not a host and a port")]
    Invalid,
    #[error("Host and :authority of the request differ")]
    Differs,
}

/// Checks the host of `request`.
pub(super) fn check(request: &Request<Body>) -> Result<(), BadHost> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(BadHost::Several);
    }
    let host = host.map(valid_host).transpose()?;
    let authority = request.uri().authority();
    if authority.is_some_and(|authority| !is_valid(authority)) {
        return Err(BadHost::Invalid);
    }
    let needed = request.version() >= Version::HTTP_11;
    match (request.version(), authority, host) {
        (Version::HTTP_2 | Version::HTTP_3, Some(authority), Some(host)) if *authority != host => {
            Err(BadHost::Differs)
        }
        (Version::HTTP_2 | Version::HTTP_3, Some(_), _) => Ok(()),
        // Required also with an absolute request target, whose host then takes precedence (RFC 9112 §3.2.2).
        (_, _, None) if needed => Err(BadHost::Missing),
        _ => Ok(()),
    }
}

/// The host of a checked `request`, with its port if it has one: the target's takes precedence over `Host`.
pub(super) fn of(request: &Request<Body>) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST)?.to_str().ok(),
    }
}

/// Parses a Host header field.
fn valid_host(value: &HeaderValue) -> Result<Authority, BadHost> {
    let host = Authority::try_from(value.as_bytes()).map_err(|_| BadHost::Invalid)?;
    if is_valid(&host) {
        Ok(host)
    } else {
        Err(BadHost::Invalid)
    }
}

/// A host with an optional port. RFC 9110 §7.2 allows no userinfo.
fn is_valid(authority: &Authority) -> bool {
    let text = authority.as_str();
    let port = text.strip_prefix(authority.host()).unwrap_or(text);
    let port_fits = match port.strip_prefix(':') {
        Some(digits) => digits.is_empty() || authority.port_u16().is_some(),
        None => port.is_empty(),
    };
    !authority.host().is_empty() && port_fits
}
