//! Builds the clients of issuers from a configuration.

use std::collections::HashMap;
use std::sync::Arc;

use url::Url;

use super::Server;
use super::limits::LimitsByIssuer;
use crate::config::{Config, IssuerConfig, TokenSource};
use crate::context::Context;
use crate::upstream::issuer::discovery::Discovery;
use crate::upstream::issuer::keys::IssuerKeys;
use crate::upstream::issuer::{HomeIssuer, RemoteIssuer};

/// The issuers that log users in, one for each configured client. Clients of one issuer with the same `jwks_uri` share
/// its keys.
pub(super) fn homes(
    configs: &[IssuerConfig],
    context: &Context,
    limits: &mut LimitsByIssuer,
) -> Vec<Arc<HomeIssuer>> {
    let mut homes: Vec<Arc<HomeIssuer>> = Vec::new();
    for config in configs {
        let shared = homes
            .iter()
            .find(|home| home.config.issuer == config.issuer && home.config.jwks_uri == config.jwks_uri)
            .map(|home| Arc::clone(&home.keys));
        let discovery = Arc::new(Discovery::new(
            config.issuer.clone(),
            config.token_endpoint.clone(),
            config.jwks_uri.clone(),
        ));
        let keys = shared.unwrap_or_else(|| {
            let keys = IssuerKeys::new(config.issuer.clone(), Arc::clone(&discovery), context.clone());
            Arc::new(keys.rejecting(rejected_keys(configs, &config.issuer)))
        });
        let limits = limits.of(&config.issuer, context);
        homes.push(Arc::new(HomeIssuer::new(config.clone(), discovery, keys, limits)));
    }
    homes
}

/// A key that is rejected for one client is rejected for all clients of the issuer: they share the key set.
fn rejected_keys(configs: &[IssuerConfig], issuer: &str) -> Vec<String> {
    let of_issuer = configs.iter().filter(|config| config.issuer == issuer);
    of_issuer
        .flat_map(|config| config.rejected_keys.iter().cloned())
        .collect()
}

/// Has the issuers keep access tokens whose logins' servers need them.
fn keep_access_tokens(config: &Config, homes: &[Arc<HomeIssuer>]) {
    let first = config.issuers.first().map(|issuer| &issuer.issuer);
    for server in config
        .servers
        .iter()
        .filter(|server| server.token.needs_access_tokens())
    {
        let issuer = server.home_issuer.as_ref().or(first);
        for home in homes.iter().filter(|home| Some(&home.config.issuer) == issuer) {
            home.keep_access_tokens();
        }
    }
}

/// The protected servers by name. Exchanges at one issuer with the same `jwksUri` share its keys. What `previous`, of the
/// same issuers and context, has is taken over: a server that is configured as before, and the keys of issuers.
pub(super) fn servers(
    config: &Config,
    homes: &[Arc<HomeIssuer>],
    context: &Context,
    limits: &mut LimitsByIssuer,
    previous: &HashMap<String, Arc<Server>>,
) -> HashMap<String, Arc<Server>> {
    keep_access_tokens(config, homes);
    let issuers = &config.issuers;
    let mut keys: HashMap<(String, Option<Url>), Arc<IssuerKeys>> = HashMap::new();
    for remote in previous.values().filter_map(|server| server.remote.as_ref()) {
        let of = (
            remote.config.expected_issuer.clone(),
            remote.config.jwks_uri.clone(),
        );
        keys.insert(of, Arc::clone(&remote.keys));
    }
    let mut servers = HashMap::new();
    for config in &config.servers {
        if let Some(same) = previous
            .get(&config.name)
            .filter(|server| server.config.is_same(config))
        {
            servers.insert(config.name.clone(), Arc::clone(same));
            continue;
        }
        let remote = match &config.token {
            TokenSource::Forward | TokenSource::ForwardAccessToken => None,
            TokenSource::Exchange(exchange) => {
                let issuer = exchange.expected_issuer.clone();
                let shared = keys
                    .entry((issuer.clone(), exchange.jwks_uri.clone()))
                    .or_insert_with(|| {
                        let discovery = Arc::new(Discovery::new(
                            issuer.clone(),
                            Some(exchange.token_endpoint.clone()),
                            exchange.jwks_uri.clone(),
                        ));
                        let rejected = rejected_keys(issuers, &issuer);
                        let keys = IssuerKeys::new(issuer, discovery, context.clone());
                        Arc::new(keys.rejecting(rejected))
                    });
                let keys = Arc::clone(shared);
                let limits = limits.of(&exchange.expected_issuer, context);
                Some(Arc::new(RemoteIssuer::new(
                    exchange.as_ref().clone(),
                    keys,
                    limits,
                )))
            }
        };
        servers.insert(
            config.name.clone(),
            Arc::new(Server {
                config: config.clone(),
                remote,
            }),
        );
    }
    servers
}
