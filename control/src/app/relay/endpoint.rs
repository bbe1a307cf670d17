//! One relayed issuer: its public token endpoint, the address at which the issuer answers, and the clients.

use std::sync::Arc;

use http::header::{CONNECTION, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use url::{Position, Url};

use crate::config::RelayConfig;
use crate::upstream::issuer::HomeIssuer;

/// A public token endpoint that the gateway routes to control.
pub(crate) struct RelayEndpoint {
    /// The issuer, as configured.
    pub(crate) issuer: String,
    relay: RelayConfig,
    /// Where the issuer itself answers.
    own: Url,
    /// The clients whose logins control holds; at least one.
    pub(crate) clients: Vec<Arc<HomeIssuer>>,
}

impl RelayEndpoint {
    /// The endpoints of all `homes` with a relay.
    pub(super) fn of_all(homes: &[Arc<HomeIssuer>]) -> Vec<Self> {
        let mut endpoints: Vec<Self> = Vec::new();
        for home in homes {
            let (Some(relay), Some(own)) = (&home.config.relay, &home.config.token_endpoint) else {
                continue;
            };
            let shared = endpoints.iter_mut().find(|endpoint| {
                let (one, other) = (&endpoint.relay.public_endpoint, &relay.public_endpoint);
                (one.origin(), one.path()) == (other.origin(), other.path())
            });
            match shared {
                Some(endpoint) => endpoint.clients.push(Arc::clone(home)),
                None => endpoints.push(Self {
                    issuer: home.config.issuer.clone(),
                    relay: relay.clone(),
                    own: own.clone(),
                    clients: vec![Arc::clone(home)],
                }),
            }
        }
        endpoints
    }

    /// Whether requests for `authority` and `path` are for this endpoint.
    pub(super) fn is_at(&self, authority: &str, path: &str) -> bool {
        self.relay.is_at(authority, path)
    }

    /// Whether control has sent a request with these header fields itself.
    pub(crate) fn is_loop(&self, headers: &HeaderMap) -> bool {
        let mut markers = self.clients.iter().filter_map(|home| home.loop_marker.as_ref());
        markers.any(|marker| marker.is_in(headers))
    }

    /// The request with this head, without its body, as the issuer gets it: the same method, host and end-to-end header
    /// fields in their order, at the issuer's own address, with the mark of this relay. `None` if the two queries cannot be
    /// joined in one URI.
    pub(crate) fn outgoing(&self, head: &Parts) -> Option<Request<()>> {
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = self.uri(head.uri.query())?;
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        if let Some(host) = named_host(head) {
            headers.insert(HOST, host);
        }
        extend(headers, &head.headers);
        if let Some(marker) = self.clients.iter().find_map(|home| home.loop_marker.as_ref()) {
            marker.add_to(headers);
        }
        Some(request)
    }

    fn uri(&self, query: Option<&str>) -> Option<Uri> {
        let own = &self.own;
        let Some(query) = query else {
            return Uri::try_from(own.as_str()).ok();
        };
        let join = own.query().map_or('?', |_| '&');
        let until_query = &own[..Position::AfterQuery];
        Uri::try_from(format!("{until_query}{join}{query}")).ok()
    }
}

/// The host that the request target names: it takes precedence over `Host` (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
fn named_host(head: &Parts) -> Option<HeaderValue> {
    let authority = head.uri.authority()?;
    HeaderValue::from_str(authority.as_str()).ok()
}

/// The header fields of `headers` that are not for the next hop only (RFC 9110 §7.6.1), in their order.
pub(crate) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len());
    extend(&mut kept, headers);
    kept
}

fn extend(kept: &mut HeaderMap, headers: &HeaderMap) {
    let has_host = kept.contains_key(HOST);
    let listed: Vec<&str> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    for (name, value) in headers {
        let is_listed = || {
            let mut listed = listed.iter();
            listed.any(|listed| listed.eq_ignore_ascii_case(name.as_str()))
        };
        // Every request has a host, whatever a client lists.
        let is_kept = if name == HOST {
            !has_host
        } else {
            !is_hop_by_hop(name) && !is_listed()
        };
        if is_kept {
            kept.append(name.clone(), value.clone());
        }
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE].contains(name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

#[cfg(test)]
mod tests;
