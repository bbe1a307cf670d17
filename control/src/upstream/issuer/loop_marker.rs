//! Marks what control sends to a relayed issuer, so that a request that comes back to control is recognised.

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use crate::config::{IssuerConfig, RelayConfig};
use crate::digest;

/// The header field of the mark.
const NAME: HeaderName = HeaderName::from_static("x-tokenward-relay");

/// The mark on requests to the token endpoint of one relayed issuer and client.
///
/// It is a digest over the client's secret, which only the issuer and control know: no other client can make control
/// report a loop, and the issuer learns nothing from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoopMarker(HeaderValue);

impl LoopMarker {
    /// The mark for the client of `config` at its `relay`.
    pub(crate) fn new(config: &IssuerConfig, relay: &RelayConfig) -> Self {
        let digest = digest::hex_of_parts(&[
            "tokenward relay",
            relay.public_endpoint.as_str(),
            &config.client_id,
            config.client_secret.expose_secret(),
        ]);
        // Hexadecimal digits are a valid header value; an empty one would only not be recognised.
        Self(HeaderValue::from_str(&digest).unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    /// Adds the mark to the header fields of a request. Marks of other relays stay: a chain of relays can have loops too.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        headers.append(NAME, self.0.clone());
    }

    /// Whether a request with these header fields has passed through this relay before.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        headers.get_all(NAME).iter().any(|value| *value == self.0)
    }
}
