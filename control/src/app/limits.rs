//! The call limits of each issuer, shared by all its clients and by all servers that it exchanges tokens for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use url::Url;

use crate::config::{Config, TokenSource};
use crate::context::Context;
use crate::upstream::issuer::limits::{CallLimits, LimitsState};

/// Limits by issuer.
#[derive(Default)]
pub(super) struct LimitsByIssuer(HashMap<String, Arc<CallLimits>>);

impl LimitsByIssuer {
    /// The limits of `issuer`, created on first use.
    pub(super) fn of(&mut self, issuer: &str, context: &Context) -> Arc<CallLimits> {
        let create = || {
            Arc::new(CallLimits::new(
                issuer.to_owned(),
                Arc::clone(&context.clock),
                context.metrics.clone(),
            ))
        };
        Arc::clone(self.0.entry(issuer.to_owned()).or_insert_with(create))
    }

    /// Adds those of `issuers` that `earlier` has.
    pub(super) fn keep<'a>(&mut self, issuers: impl Iterator<Item = &'a str>, earlier: &Self) {
        for issuer in issuers {
            if let Some(limits) = earlier.0.get(issuer) {
                self.0
                    .entry(issuer.to_owned())
                    .or_insert_with(|| Arc::clone(limits));
            }
        }
    }

    /// The state of each issuer's limits, by issuer.
    pub(super) fn states(&self) -> Vec<(String, LimitsState)> {
        let states = self
            .0
            .iter()
            .map(|(issuer, limits)| (issuer.clone(), limits.state()));
        let mut states: Vec<_> = states.collect();
        states.sort_by(|(one, _), (other, _)| one.cmp(other));
        states
    }

    /// The limits of the issuers that have the same addresses in both configurations. An issuer that fails at one
    /// address may be healthy at another.
    pub(super) fn carried_over(&self, old: &Config, new: &Config) -> Self {
        let is_unchanged = |issuer: &str| {
            let addresses = addresses(old, issuer);
            !addresses.is_empty() && addresses == self::addresses(new, issuer)
        };
        let unchanged = self.0.iter().filter(|(issuer, _)| is_unchanged(issuer));
        Self(
            unchanged
                .map(|(issuer, limits)| (issuer.clone(), Arc::clone(limits)))
                .collect(),
        )
    }
}

/// The configured token endpoints of `issuer`; `None` stands for discovery.
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
