//! `console`: the page for operators, on a listener of its own.

mod check;
pub(super) mod raw;

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::{IssuerConfig, TlsConfig, UpstreamLoginConfig};

pub(super) use check::console;

/// The checked `console` section.
#[derive(Debug, Clone)]
pub struct ConsoleConfig {
    /// The address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// Its certificate; `None`: plain HTTP, behind something that speaks TLS.
    pub tls: Option<TlsConfig>,
    /// Where operators' browsers reach the console: an origin, https or on the loopback. Requests for another host are
    /// refused.
    pub public_url: Url,
    /// The client at the issuer at which operators log in.
    pub client: IssuerConfig,
    /// How they are sent there.
    pub login: UpstreamLoginConfig,
    /// A user in one of these groups may use the console. Never empty.
    pub groups: Vec<String>,
    /// The claim of the ID token that names a user's groups: a list of texts, or one text.
    pub groups_claim: String,
    /// How long a login at the console lasts.
    pub session_lifetime: Duration,
    /// Number of trusted proxies in front of the console that append to `X-Forwarded-For`; 0: none.
    pub trusted_proxies: usize,
}

impl ConsoleConfig {
    /// `public_url` without a path and without a slash at its end.
    #[must_use]
    pub fn origin(&self) -> String {
        self.public_url.origin().ascii_serialization()
    }

    /// The redirect URI to register at the issuer.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{}/console/callback", self.origin())
    }
}
