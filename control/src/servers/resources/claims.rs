//! What a server of a resource may name that others use too: names, hosts and paths, token endpoints, issuers.
//!
//! Writers of resources need not be the operators of the gateway. What the configuration's own servers name is theirs, and
//! what an older resource names stays with it.

use std::collections::BTreeMap;

use tokenward_kubernetes::{Outcome, Resource};
use tokenward_protocol::filter_state::{MAX_SERVERS, MAX_SERVERS_BYTES};
use url::Url;

use super::fault::Fault;
use super::route::{covers, is_stated};
use crate::config::{
    AUTHORIZATION_PATHS, Config, HostPattern, KubernetesConfig, ServerConfig, ServerRoute, TokenSource,
};
use crate::filter_state::server_list::server_list_json;

/// More than the names of the fields and the punctuation of a server in the list of filters.
const FIELD_BYTES: usize = 300;
/// Left for what surrounds the servers.
const RESERVED_BYTES: usize = 4 * 1024;

/// What has been claimed.
pub(super) struct Claims<'a> {
    section: &'a KubernetesConfig,
    home_issuers: Vec<&'a str>,
    /// That of our own authorization server.
    own_issuer: Option<&'a str>,
    /// What a server adds to the list of filters for its home issuer and client, at most.
    home_bytes: usize,
    /// What clients reach without a token of a server: our own endpoints, and those of relayed issuers.
    open: Vec<ServerRoute>,
    servers_left: usize,
    bytes_left: usize,
    names: BTreeMap<String, Owner>,
    routes: Vec<(ServerRoute, Owner)>,
    resources: Vec<(crate::config::Resource, Owner)>,
    /// The token endpoint of each remote issuer.
    issuers: BTreeMap<String, (Url, Owner)>,
}

/// What a claim belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    /// For messages.
    name: String,
    /// `None`: the configuration.
    namespace: Option<String>,
}

impl<'a> Claims<'a> {
    /// Those of the configuration.
    pub(super) fn of(config: &'a Config, section: &'a KubernetesConfig) -> Self {
        let home_bytes = config
            .issuers
            .iter()
            .map(|home| home.issuer.len() * 2 + home.client_id.len());
        let used_bytes = server_list_json(config).len() + RESERVED_BYTES;
        let mut claims = Self {
            section,
            home_issuers: config.issuers.iter().map(|home| home.issuer.as_str()).collect(),
            own_issuer: config.authorization.as_ref().map(|own| own.issuer.as_str()),
            home_bytes: home_bytes.max().unwrap_or_default(),
            open: open_routes(config),
            servers_left: MAX_SERVERS.saturating_sub(config.servers.len()),
            bytes_left: MAX_SERVERS_BYTES.saturating_sub(used_bytes),
            names: BTreeMap::new(),
            routes: Vec::new(),
            resources: Vec::new(),
            issuers: BTreeMap::new(),
        };
        for server in &config.servers {
            let owner = Owner {
                name: format!("server {:?} of the configuration", server.name),
                namespace: None,
            };
            claims.take(server, &owner);
        }
        claims
    }

    /// Claims what the server of `resource` names.
    ///
    /// # Errors
    /// What becomes of the resource instead, and why; then nothing is claimed.
    pub(super) fn claim(
        &mut self,
        resource: &Resource,
        server: &ServerConfig,
    ) -> Result<(), (Outcome, Fault)> {
        self.check_host(server)?;
        self.check_name(server)?;
        self.check_open(server).map_err(rejected)?;
        self.check_route(resource, server).map_err(rejected)?;
        self.check_exchange(server).map_err(rejected)?;
        let bytes = self.check_room(server).map_err(rejected)?;
        self.servers_left -= 1;
        self.bytes_left -= bytes;
        let owner = Owner {
            name: resource.id.to_string(),
            namespace: Some(resource.id.namespace.clone()),
        };
        self.take(server, &owner);
        Ok(())
    }

    /// The bytes that it takes in the list of filters, which refuse a list that is too long as a whole.
    fn check_room(&self, server: &ServerConfig) -> Result<usize, Fault> {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let issuer = match &server.token {
            TokenSource::Exchange(exchange) => exchange.expected_issuer.len(),
            TokenSource::Forward | TokenSource::ForwardAccessToken => 0,
        };
        let audiences: usize = server
            .required_audiences
            .iter()
            .map(|audience| audience.len() + 3)
            .sum();
        let resource = server
            .resource
            .as_ref()
            .map_or(0, |resource| resource.identifier.len());
        let route = text(&server.route.host) + text(&server.route.path_prefix);
        let bytes = FIELD_BYTES + self.home_bytes + server.name.len() + route + resource + issuer + audiences;
        if self.servers_left == 0 || bytes > self.bytes_left {
            let message =
                format!("there is no room for it: filters take {MAX_SERVERS} servers; remove others");
            return Err(Fault::new("TooManyServers", message));
        }
        Ok(bytes)
    }

    fn take(&mut self, server: &ServerConfig, owner: &Owner) {
        self.names.insert(server.name.clone(), owner.clone());
        if is_stated(&server.route) {
            self.routes.push((server.route.clone(), owner.clone()));
        }
        if let Some(resource) = &server.resource {
            self.resources.push((resource.clone(), owner.clone()));
        }
        if let TokenSource::Exchange(exchange) = &server.token {
            let claim = || (exchange.token_endpoint.clone(), owner.clone());
            self.issuers
                .entry(exchange.expected_issuer.clone())
                .or_insert_with(claim);
        }
    }

    /// A server at a host that is not this gateway's is none of ours.
    fn check_host(&self, server: &ServerConfig) -> Result<(), (Outcome, Fault)> {
        let host = server.route.host.as_deref().unwrap_or_default();
        if self.section.hosts.is_empty() || includes(&self.section.hosts, host) {
            return Ok(());
        }
        let message = format!(
            "the host {host:?} of its URL is not in kubernetes.hosts: it is not at this gateway. If it is, an operator can add it"
        );
        Err((Outcome::Ignored, Fault::new("HostNotHere", message)))
    }

    fn check_name(&self, server: &ServerConfig) -> Result<(), (Outcome, Fault)> {
        let Some(owner) = self.names.get(&server.name) else {
            return Ok(());
        };
        if owner.namespace.is_none() {
            let message =
                "control's configuration has a server of this name, which takes precedence: remove it there";
            return Err((Outcome::Ignored, Fault::new("InConfiguration", message)));
        }
        let message = format!(
            "metadata.name: {} is older and has the name: rename this one",
            owner.name
        );
        Err(rejected(Fault::new("NameTaken", message)))
    }

    /// A request for a server needs a token, also where control answers clients that have none yet: a login, a relayed refresh,
    /// the documents by which clients find them.
    fn check_open(&self, server: &ServerConfig) -> Result<(), Fault> {
        let route = &server.route;
        let path = route.path_prefix.as_deref().unwrap_or_default();
        let takes = |open: &ServerRoute| covers(route, open) || covers(open, route);
        let is_at_shared_host = || {
            let routes = self.routes.iter().filter_map(|(other, _)| other.host.as_deref());
            let resources = self
                .resources
                .iter()
                .filter_map(|(resource, _)| resource.url.host_str());
            let own = self.open.iter().filter_map(|open| open.host.as_deref());
            routes
                .chain(resources)
                .chain(own)
                .any(|host| route.host.as_deref() == Some(host))
        };
        let is_well_known = path == "/.well-known" || path.starts_with("/.well-known/");
        let is_wide = matches!(path, "" | "/exchange") && is_at_shared_host();
        if is_well_known || is_wide || self.open.iter().any(takes) {
            let message = "its URL takes paths at which clients without a token are answered (login, token endpoints, \
                           /.well-known): use a path of its own, as in https://mcp.example.com/kubernetes/mcp";
            return Err(Fault::new("URLTaken", message));
        }
        Ok(())
    }

    /// Two servers for the same requests, or a part of another's requests in a namespace of others: the gateway would give a
    /// request the token that a stranger named.
    fn check_route(&self, resource: &Resource, server: &ServerConfig) -> Result<(), Fault> {
        for (route, owner) in &self.routes {
            let is_within = covers(route, &server.route);
            let is_same = is_within && covers(&server.route, route);
            let is_foreign = owner.namespace.as_ref() != Some(&resource.id.namespace);
            if is_same || (is_within && is_foreign) {
                let message = format!(
                    "its URL is within that of {}, which was there first: use another host or path",
                    owner.name
                );
                return Err(Fault::new("URLTaken", message));
            }
        }
        let Some(identifier) = &server.resource else {
            return Ok(());
        };
        let same = self.resources.iter().find(|(other, _)| {
            other.url.origin() == identifier.url.origin() && other.path() == identifier.path()
        });
        same.map_or(Ok(()), |(_, owner)| {
            let message = format!("its URL is the resource of {}: use another one", owner.name);
            Err(Fault::new("URLTaken", message))
        })
    }

    /// The token endpoint receives users' tokens, and its failures count against its issuer.
    fn check_exchange(&self, server: &ServerConfig) -> Result<(), Fault> {
        let TokenSource::Exchange(exchange) = &server.token else {
            return Ok(());
        };
        let host = exchange.token_endpoint.host_str().unwrap_or_default();
        if !includes(&self.section.exchange_hosts, host) {
            let message = format!(
                "spec.auth.tokenExchange.dexTokenEndpoint: users' tokens may not be sent to {host:?}: an operator can add it to \
                 kubernetes.exchange_hosts"
            );
            return Err(Fault::new("EndpointNotAllowed", message));
        }
        let issuer = &exchange.expected_issuer;
        let plain = |issuer: &str| issuer.trim_end_matches('/').to_ascii_lowercase();
        if self.own_issuer.is_some_and(|own| plain(own) == plain(issuer)) {
            let message =
                "spec.auth.tokenExchange.expectedIssuer is Tokenward's own: its tokens never reach a server";
            return Err(Fault::new("IssuerTaken", message));
        }
        if self.home_issuers.contains(&issuer.as_str()) {
            let message = "spec.auth.tokenExchange.expectedIssuer is the issuer at which users log in: set forwardToken instead";
            return Err(Fault::new("IssuerTaken", message));
        }
        match self.issuers.get(issuer) {
            Some((endpoint, owner)) if *endpoint != exchange.token_endpoint => {
                let message = format!(
                    "spec.auth.tokenExchange.expectedIssuer: {} has another token endpoint for this issuer ({endpoint}): use the \
                     same one",
                    owner.name
                );
                Err(Fault::new("IssuerTaken", message))
            }
            _ => Ok(()),
        }
    }
}

/// The endpoints of our own authorization server and of relayed issuers.
fn open_routes(config: &Config) -> Vec<ServerRoute> {
    let of = |url: &Url, path: &str| ServerRoute {
        host: url.host_str().map(str::to_owned),
        path_prefix: Some(path.to_owned()),
    };
    let own = config
        .authorization
        .as_ref()
        .and_then(|own| Url::parse(&own.issuer).ok());
    let own = own
        .iter()
        .flat_map(|url| AUTHORIZATION_PATHS.iter().map(move |path| of(url, path)));
    let relays = config.issuers.iter().filter_map(|home| home.relay.as_ref());
    let relays = relays.map(|relay| of(&relay.public_endpoint, relay.public_endpoint.path()));
    own.chain(relays).collect()
}

const fn rejected(fault: Fault) -> (Outcome, Fault) {
    (Outcome::Rejected, fault)
}

fn includes(patterns: &[HostPattern], host: &str) -> bool {
    patterns.iter().any(|pattern| pattern.includes(host))
}
