//! The traffic of each issuer, shared by all its clients and all servers that it makes tokens for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use url::Url;

use crate::config::{Config, TokenSource};
use crate::context::Context;
use crate::upstream::issuer::limits::CallLimits;

/// By the issuer's name.
#[derive(Default)]
pub(super) struct LimitsByIssuer(HashMap<String, Arc<CallLimits>>);

impl LimitsByIssuer {
    /// The traffic of `issuer`.
    pub(super) fn of(&mut self, issuer: &str, context: &Context) -> Arc<CallLimits> {
        let made = || {
            Arc::new(CallLimits::new(
                issuer.to_owned(),
                Arc::clone(&context.clock),
                context.metrics.clone(),
            ))
        };
        Arc::clone(self.0.entry(issuer.to_owned()).or_insert_with(made))
    }

    /// Those of issuers that are asked at the same addresses under both configurations. An issuer at another address
    /// may be a healthy one.
    pub(super) fn kept_for(&self, old: &Config, new: &Config) -> Self {
        let same = |issuer: &str| {
            let addresses = addresses(old, issuer);
            !addresses.is_empty() && addresses == self::addresses(new, issuer)
        };
        let kept = self.0.iter().filter(|(issuer, _)| same(issuer));
        Self(
            kept.map(|(issuer, traffic)| (issuer.clone(), Arc::clone(traffic)))
                .collect(),
        )
    }
}

/// Where `issuer` is asked; `None` stands for its discovery.
fn addresses(config: &Config, issuer: &str) -> BTreeSet<Option<Url>> {
    let homes = config
        .issuers
        .iter()
        .filter(|home| home.issuer == issuer)
        .map(|home| home.token_endpoint.clone());
    let remotes = config.servers.iter().filter_map(|server| match &server.token {
        TokenSource::Exchange(exchange) if exchange.expected_issuer == issuer => {
            Some(Some(exchange.token_endpoint.clone()))
        }
        _ => None,
    });
    homes.chain(remotes).collect()
}
