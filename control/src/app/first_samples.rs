//! Samples that exist at 0 before anything happens: one for each server and issuer of the configuration.

use std::collections::BTreeSet;

use crate::config::{Config, TokenSource};
use crate::observe::metrics::Metrics;

/// Makes the counters of everything that `config` names exist. Those of an earlier configuration stay.
pub(super) fn begin(metrics: &Metrics, config: &Config) {
    for home in &config.issuers {
        metrics.known_home_issuer(&home.issuer);
        if home.relay.is_some() {
            metrics.relay.known_issuer(&home.issuer);
        }
    }
    let mut remotes = BTreeSet::new();
    for server in &config.servers {
        metrics.known_server(&server.name, server.token.is_exchange());
        if let TokenSource::Exchange(exchange) = &server.token {
            remotes.insert(exchange.expected_issuer.as_str());
        }
    }
    for issuer in remotes {
        metrics.known_issuer(issuer, "exchange");
    }
}
