//! What control takes each issuer for: `tokenward check` prints it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::issuer::{DialectSource, IssuerConfig, IssuerPolicy};
use super::{Config, TokenSource};

impl DialectSource {
    /// Why an issuer counts as one of its dialect, for a person.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Address => "by its address",
            Self::Document => "by its discovery document",
            Self::Default => {
                "nothing here shows it: control decides by the discovery document when it starts; set issuers[].dialect to be \
                 sure"
            }
        }
    }
}

impl IssuerConfig {
    /// The kind of the issuer and what follows from it, on one line.
    #[must_use]
    pub fn treatment(&self) -> String {
        let policy = match self.policy {
            IssuerPolicy::Tolerant => "tolerant",
            IssuerPolicy::Strict => "strict",
        };
        format!(
            "dialect {} ({}), policy {policy}, refresh_tokens {}, sign_out {}",
            self.dialect.name(),
            self.dialect_source.explanation(),
            self.refresh_tokens.name(),
            self.sign_out.name()
        )
    }
}

/// One line for each client at an issuer, and one for each remote issuer; with the limits of calls to them.
#[must_use]
pub fn issuer_guide(config: &Config) -> String {
    let mut lines = String::new();
    for issuer in &config.issuers {
        // Writing to a string does not fail.
        let _ = writeln!(
            lines,
            "issuer {} (client {}): {}, limits of each process: {}",
            issuer.issuer,
            issuer.client_id,
            issuer.treatment(),
            config.limits_of(&issuer.issuer)
        );
    }
    for remote in remote_issuers(config) {
        let limits = config.limits_of(remote);
        let _ = writeln!(lines, "remote issuer {remote}: limits of each process: {limits}");
    }
    lines
}

/// Those of the servers, and those with limits of their own, to which resources of the cluster may exchange.
fn remote_issuers(config: &Config) -> BTreeSet<&str> {
    let of_servers = config.servers.iter().filter_map(|server| match &server.token {
        TokenSource::Exchange(exchange) => Some(exchange.expected_issuer.as_str()),
        TokenSource::Forward | TokenSource::ForwardAccessToken => None,
    });
    let stated = config.stated_limits.keys().map(String::as_str);
    of_servers
        .chain(stated)
        .filter(|name| config.issuers.iter().all(|home| home.issuer != **name))
        .collect()
}
