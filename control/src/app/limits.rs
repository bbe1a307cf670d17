//! The call limits of each issuer, shared by all its clients and by all servers that it exchanges tokens for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::config::{Config, IssuerLimits, TokenSource};
use crate::context::Context;
use crate::upstream::issuer::limits::{CallLimits, LimitsState};

/// Limits by issuer.
pub(super) struct LimitsByIssuer {
    by_issuer: HashMap<String, Arc<CallLimits>>,
    stated: BTreeMap<String, IssuerLimits>,
    longest_wait: Duration,
}

impl LimitsByIssuer {
    /// Those of `config`; no issuer was called yet.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            by_issuer: HashMap::new(),
            stated: config.stated_limits.clone(),
            // A caller gets its turn, or the time of it, before it stops waiting.
            longest_wait: config.caller_deadline * 3 / 4,
        }
    }

    /// The limits of `issuer`, created on first use.
    pub(super) fn of(&mut self, issuer: &str, context: &Context) -> Arc<CallLimits> {
        let limits = self.stated.get(issuer).copied().unwrap_or_default();
        let create = || {
            Arc::new(CallLimits::new(
                issuer.to_owned(),
                limits,
                self.longest_wait,
                Arc::clone(&context.clock),
                context.metrics.clone(),
            ))
        };
        Arc::clone(self.by_issuer.entry(issuer.to_owned()).or_insert_with(create))
    }

    /// Adds those of `issuers` that `earlier` has.
    pub(super) fn keep<'a>(&mut self, issuers: impl Iterator<Item = &'a str>, earlier: &Self) {
        for issuer in issuers {
            if let Some(limits) = earlier.by_issuer.get(issuer) {
                self.by_issuer
                    .entry(issuer.to_owned())
                    .or_insert_with(|| Arc::clone(limits));
            }
        }
    }

    /// The state of each issuer's limits, by issuer.
    pub(super) fn states(&self) -> Vec<(String, LimitsState)> {
        let states = self
            .by_issuer
            .iter()
            .map(|(issuer, limits)| (issuer.clone(), limits.state()));
        let mut states: Vec<_> = states.collect();
        states.sort_by(|(one, _), (other, _)| one.cmp(other));
        states
    }

    /// The limits of the issuers that have the same addresses in both configurations, as the new one states them. An issuer
    /// that fails at one address may be healthy at another.
    pub(super) fn carried_over(&self, old: &Config, new: &Config) -> Self {
        let is_unchanged = |issuer: &str| {
            let addresses = addresses(old, issuer);
            !addresses.is_empty() && addresses == self::addresses(new, issuer)
        };
        let mut next = Self::new(new);
        for (issuer, limits) in &self.by_issuer {
            if is_unchanged(issuer) {
                let limits = limits.succeeded_by(new.limits_of(issuer), next.longest_wait);
                next.by_issuer.insert(issuer.clone(), limits);
            }
        }
        next
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
