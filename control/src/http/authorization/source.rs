//! The source of a request: the address of its peer, or what a trusted proxy wrote into `X-Forwarded-For`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;

use super::hosted::Hosted;
use crate::app::Current;
use crate::authorization::source::Source;
use crate::serve::PeerAddress;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Extracts the source of a request.
pub(in crate::http) struct RequestSource(pub(in crate::http) Source);

impl FromRequestParts<Current> for RequestSource {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, current: &Current) -> Result<Self, Response> {
        let hosted = Hosted::from_request_parts(parts, current).await?;
        let peer = parts.extensions.get::<PeerAddress>();
        // Every request of a listener has one; without it all share a source.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        Ok(Self(source(
            &parts.headers,
            peer,
            hosted.server.config.trusted_proxies,
        )))
    }
}

/// The address that the outermost of `trusted_proxies` proxies appended; the peer's without one. What clients themselves
/// wrote into the header stands further left and is not read.
pub(in crate::http) fn source(headers: &HeaderMap, peer: IpAddr, trusted_proxies: usize) -> Source {
    let Some(nth_last) = trusted_proxies.checked_sub(1) else {
        return peer.into();
    };
    let mut appended: Vec<&[u8]> = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .collect();
    appended.reverse();
    appended
        .get(nth_last)
        .and_then(|address| address_of(std::str::from_utf8(address).ok()?.trim()))
        .unwrap_or(peer)
        .into()
}

/// An address; some proxies append the port.
fn address_of(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests;
