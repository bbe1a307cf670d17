//! How control answers the clients of an issuer at the issuer's own token endpoint.

use std::time::Duration;

use url::Url;

/// How control answers the clients of an issuer at the issuer's own token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// The token endpoint as clients know it. The gateway routes exactly this host and path to control; it has no query.
    pub public_endpoint: Url,
    /// How long after its `exp` a token still proves a login that control has only learned from passing answers. The
    /// client's sign-out does not reach control, so this is far shorter than
    /// [`stale_subject_grace`](super::Config::stale_subject_grace).
    pub stale_subject_grace: Duration,
    /// How long a client waits for its answer before it gets 503. The refresh itself continues, and its result is stored.
    pub deadline: Duration,
}

impl RelayConfig {
    /// Whether a request for `authority` (a host with an optional port) and `path` is one for the public endpoint.
    #[must_use]
    pub fn is_at(&self, authority: &str, path: &str) -> bool {
        path == self.public_endpoint.path()
            && Url::parse(&format!("{}://{authority}", self.public_endpoint.scheme()))
                .is_ok_and(|url| url.username().is_empty() && same_host(&url, &self.public_endpoint))
    }
}

/// Whether requests to both have the same host and port.
fn same_host(one: &Url, other: &Url) -> bool {
    one.host() == other.host() && one.port_or_known_default() == other.port_or_known_default()
}

/// Whether a request to `one` arrives where a request to `other` does.
pub(super) fn same_place(one: &Url, other: &Url) -> bool {
    same_host(one, other) && one.path() == other.path()
}
