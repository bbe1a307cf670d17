//! The samples of what the configuration names: they exist at 0 before anything happens, and end with what they are about.
//! Writers of resources choose names of servers and issuers: without an end their number would have no bound.

use std::collections::BTreeSet;

use crate::config::{Config, TokenSource};
use crate::observe::metrics::Metrics;

/// Makes the counters of everything that `config` names exist.
pub(super) fn begin(metrics: &Metrics, config: &Config) {
    for home in &config.issuers {
        metrics.known_home_issuer(&home.issuer);
        if home.relay.is_some() {
            metrics.relay.known_issuer(&home.issuer);
        }
    }
    for server in &config.servers {
        metrics.known_server(&server.name, server.token.is_exchange());
    }
    for issuer in remote_issuers(config) {
        metrics.known_remote_issuer(issuer);
    }
}

/// Removes the samples of servers, and of issuers of exchanges, that `old` names and `present` does not. Those of issuers at
/// which users log in stay: only an operator names them.
pub(super) fn end(metrics: &Metrics, old: &Config, present: &Config) {
    for server in servers(old).difference(&servers(present)) {
        metrics.forget_server(server);
    }
    let mut kept = remote_issuers(present);
    let homes = old.issuers.iter().chain(&present.issuers);
    kept.extend(homes.map(|home| home.issuer.as_str()));
    for issuer in remote_issuers(old).difference(&kept) {
        metrics.forget_remote_issuer(issuer);
    }
}

fn servers(config: &Config) -> BTreeSet<&str> {
    config.servers.iter().map(|server| server.name.as_str()).collect()
}

fn remote_issuers(config: &Config) -> BTreeSet<&str> {
    let issuers = config.servers.iter().filter_map(|server| match &server.token {
        TokenSource::Exchange(exchange) => Some(exchange.expected_issuer.as_str()),
        TokenSource::Forward | TokenSource::ForwardAccessToken => None,
    });
    issuers.collect()
}
