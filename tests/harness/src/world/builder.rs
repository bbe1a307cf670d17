//! Building a [`World`].

mod wiring;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::authorization::AuthorizationServer;
use super::relay::Relay;
use super::resources::Resources;
use super::{ALICE, CLIENT, LOCAL, World};
use crate::issuer::{DexClient, DexConfig, DexConnector, DexUser, Issuer, IssuerClock, RefreshTokenPolicy};
use crate::mcp_server::{McpServer, McpTrust};
use crate::parts::{Control, ControlTls, Envoy, Valkey, ports};

/// The remote issuer's client that exchanges, and its secret.
const EXCHANGE_CLIENT: (&str, &str) = ("kube", "k");
/// The remote issuer's connector to the home issuer.
pub const CONNECTOR: &str = "home";

/// `store.deadline` and `caller_deadline` of control and `control.timeout` of the filter, unless a story has others. A
/// disk that still writes what a build has left may take seconds for what the store syncs.
const STORE_DEADLINE: &str = "6s";
const CONTROL_DEADLINE: &str = "15s";
const FILTER_DEADLINE: &str = "20s";

/// Where control stores its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A file of its own.
    Embedded,
    /// A real Valkey.
    Valkey,
}

/// What a world shall be.
#[derive(Debug, Clone)]
pub struct WorldBuilder {
    workers: usize,
    remotes: usize,
    access_tokens: bool,
    clients_of_their_own: bool,
    store: Store,
    filter_on: bool,
    annotated: bool,
    listener_port: u16,
    listener_from_file: bool,
    large_headers: bool,
    filter_calls: Option<SocketAddr>,
    id_token_lifetime: Duration,
    remote_token_lifetime: Duration,
    refresh_tokens: RefreshTokenPolicy,
    filter_settings: Vec<(String, Value)>,
    control_settings: Vec<(String, Value)>,
    usual_deadlines: bool,
    resources: Option<Resources>,
    relay: Option<Relay>,
    authorization: Option<AuthorizationServer>,
    authorization_settings: Vec<(String, Value)>,
    control_replicas: usize,
    control_tls: Option<ControlTls>,
    redirect_uris: Vec<String>,
    users: Vec<DexUser>,
}

impl Default for WorldBuilder {
    fn default() -> Self {
        Self {
            workers: 2,
            remotes: 1,
            access_tokens: false,
            clients_of_their_own: false,
            store: Store::Embedded,
            filter_on: true,
            annotated: false,
            listener_port: 0,
            listener_from_file: false,
            large_headers: false,
            filter_calls: None,
            id_token_lifetime: Duration::from_secs(1800),
            remote_token_lifetime: Duration::from_secs(1800),
            refresh_tokens: RefreshTokenPolicy::default(),
            filter_settings: Vec::new(),
            control_settings: Vec::new(),
            usual_deadlines: false,
            resources: None,
            relay: None,
            authorization: None,
            authorization_settings: Vec::new(),
            control_replicas: 0,
            control_tls: None,
            redirect_uris: Vec::new(),
            users: vec![
                DexUser::new(ALICE).with_many_groups(),
                DexUser::new("bob@example.com"),
            ],
        }
    }
}

impl WorldBuilder {
    /// With this many Envoy workers.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// With this many exchange servers, `remote-1` and on.
    pub fn remotes(mut self, remotes: usize) -> Self {
        self.remotes = remotes;
        self
    }

    /// The server [`LOCAL`] gets the login's access token, which is opaque.
    pub fn access_tokens(mut self) -> Self {
        self.access_tokens = true;
        self
    }

    /// Each exchange server has a client of its own at the remote issuer, and so needs an exchange of its own.
    pub fn clients_of_their_own(mut self) -> Self {
        self.clients_of_their_own = true;
        self
    }

    /// With this store.
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// Without the filter, as it was before.
    pub fn filter_off(mut self) -> Self {
        self.filter_on = false;
        self
    }

    /// Servers are found by the routes' annotations, not by paths.
    pub fn annotated(mut self) -> Self {
        self.annotated = true;
        self
    }

    /// With Envoy's listener on this port.
    pub fn listener_port(mut self, port: u16) -> Self {
        self.listener_port = port;
        self
    }

    /// With Envoy's listener on this port, where each server is a protected resource (RFC 9728), and control serves its
    /// document: the filter's 401 names it.
    pub fn resources_at(mut self, gateway_port: u16) -> Self {
        self.resources = Some(Resources { gateway_port });
        self.listener_port(gateway_port)
    }

    /// With a relay in front of the home issuer's token endpoint: Envoy routes [`World::token_endpoint`] to control, which
    /// itself calls the issuer. `settings` are further members of `issuers[].relay`.
    pub fn relay(mut self, settings: Value) -> Self {
        self.relay = Some(Relay {
            settings,
            gateway_port: 0,
        });
        self
    }

    /// With our own authorization server: control is configured with `authorization`, the servers are resources of the
    /// gateway, Envoy routes control's public paths to it, and the filter takes its access tokens. Clients may register
    /// themselves, and metadata documents of any host are taken, on this machine too.
    ///
    /// # Panics
    /// When the operating system has no random bytes for the signing key.
    pub fn authorization(mut self) -> Self {
        self.authorization = Some(AuthorizationServer::new());
        self
    }

    /// With another value of a member of control's `authorization`.
    pub fn authorization_setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.authorization_settings.push((name.to_owned(), value.into()));
        self
    }

    /// With so many replicas of control besides the first, on one Valkey.
    pub fn control_replicas(mut self, replicas: usize) -> Self {
        self.control_replicas = replicas;
        self.store(Store::Valkey)
    }

    /// With TLS between the filter and control.
    pub fn control_tls(mut self, tls: ControlTls) -> Self {
        self.control_tls = Some(tls);
        self
    }

    /// With a listener that [`crate::parts::Envoy::replace_listener`] can replace.
    pub fn listener_from_file(mut self) -> Self {
        self.listener_from_file = true;
        self
    }

    /// With an Envoy that takes more and longer headers than usual.
    pub fn large_headers(mut self) -> Self {
        self.large_headers = true;
        self
    }

    /// The filter's calls go to this address instead of to the control service.
    pub fn filter_calls(mut self, control: SocketAddr) -> Self {
        self.filter_calls = Some(control);
        self
    }

    /// ID tokens of the home issuer, and tokens of the remote one, live this long.
    pub fn tokens_live(mut self, home: Duration, remote: Duration) -> Self {
        self.id_token_lifetime = home;
        self.remote_token_lifetime = remote;
        self
    }

    /// All tokens live this long, and are stale for filter and control so long before their end: nothing is fetched
    /// ahead of time, and what the gateway let through may take `margin` to the server.
    pub fn short_lived(self, life: Duration, margin: Duration) -> Self {
        let margin = format!("{}ms", margin.as_millis());
        self.tokens_live(life, life)
            .filter_setting("margin", margin.as_str())
            .filter_setting("refresh_ahead", margin.as_str())
            .control_setting("margin", margin)
    }

    /// With the deadlines that the product has by itself. Stories have longer ones, so that a machine that stalls
    /// for some seconds changes no answer.
    pub fn usual_deadlines(mut self) -> Self {
        self.usual_deadlines = true;
        self
    }

    /// Refresh tokens of the home issuer follow this policy.
    pub fn refresh_tokens(mut self, policy: RefreshTokenPolicy) -> Self {
        self.refresh_tokens = policy;
        self
    }

    /// With another value of a top-level setting of the filter.
    pub fn filter_setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.filter_settings.push((name.to_owned(), value.into()));
        self
    }

    /// With another value of a top-level setting of control.
    pub fn control_setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.control_settings.push((name.to_owned(), value.into()));
        self
    }

    /// With one more redirect URI of the aggregator's client at the home issuer.
    pub fn redirect_uri(mut self, uri: String) -> Self {
        self.redirect_uris.push(uri);
        self
    }

    /// With one more user at the home issuer.
    pub fn user(mut self, email: &str) -> Self {
        self.users.push(DexUser::new(email));
        self
    }

    /// Starts everything, on fake issuers, and waits until it is ready.
    ///
    /// # Errors
    /// When a part is missing on this machine or does not start.
    pub async fn start(self) -> anyhow::Result<World> {
        self.start_on().await
    }

    /// [`WorldBuilder::start`] on other issuers: `start_on::<RealDex>()`.
    ///
    /// # Errors
    /// When a part is missing on this machine or does not start.
    pub async fn start_on<I: Issuer>(mut self) -> anyhow::Result<World<I>> {
        // The gateway's address is part of control's configuration, so it must be known before Envoy starts.
        if (self.relay.is_some() || self.authorization.is_some()) && self.listener_port == 0 {
            self.listener_port = ports::free_port()?;
        }
        if let Some(relay) = &mut self.relay {
            relay.gateway_port = self.listener_port;
        }
        if let Some(authorization) = &mut self.authorization {
            authorization.gateway_port = self.listener_port;
            self.resources = Some(Resources {
                gateway_port: self.listener_port,
            });
        }
        let clock = IssuerClock::default();
        let home: I = self.home(&clock).await?;
        let remote: I = self.remote(&clock, &home).await?;
        let servers = self.servers(&home, &remote).await?;
        let valkey = match self.store {
            Store::Embedded => None,
            Store::Valkey => Some(Valkey::start().await?),
        };
        let config = self.control_config(&home, &remote, valkey.as_ref());
        let aggregator_credential =
            secrecy::ExposeSecret::expose_secret(&config.aggregator_credential).to_owned();
        let control = Control::start(config.clone()).await?;
        let mut control_replicas = Vec::new();
        for _ in 0..self.control_replicas {
            control_replicas.push(Control::start(config.clone()).await?);
        }
        let controls: Vec<&Control> = std::iter::once(&control).chain(&control_replicas).collect();
        let envoy = Envoy::start(&self.envoy_config(&home, &remote, &controls, &servers)?).await?;
        // A connection of its own for each request, so that Envoy spreads them over its workers.
        let http = match &self.control_tls {
            Some(tls) => tls.http_client()?,
            None => reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()?,
        };
        let token_endpoint = self
            .relay
            .as_ref()
            .map_or_else(|| home.token_endpoint(), |relay| relay.public_endpoint(&home));
        Ok(World {
            home,
            remote,
            control,
            control_replicas,
            valkey,
            envoy,
            servers,
            exchange_clients: self.exchange_clients(),
            aggregator_credential,
            token_endpoint,
            authorization: self.authorization,
            http,
            began: std::time::Instant::now(),
        })
    }

    /// The remote issuer's client by the name of its server.
    fn exchange_clients(&self) -> BTreeMap<String, DexClient> {
        let client = |number| match self.clients_of_their_own {
            true => DexClient::new(
                &format!("{}-{number}", EXCHANGE_CLIENT.0),
                &format!("{}-{number}", EXCHANGE_CLIENT.1),
            ),
            false => DexClient::new(EXCHANGE_CLIENT.0, EXCHANGE_CLIENT.1),
        };
        (1..=self.remotes)
            .map(|number| (format!("remote-{number}"), client(number)))
            .collect()
    }

    async fn home<I: Issuer>(&self, clock: &IssuerClock) -> anyhow::Result<I> {
        let mut config = DexConfig::default()
            .clock(clock)
            .id_token_lifetime(self.id_token_lifetime);
        config.refresh_tokens = self.refresh_tokens;
        config.opaque_access_tokens = self.access_tokens;
        config.users = self.users.clone();
        let callback = self.authorization.as_ref().map(AuthorizationServer::callback);
        if let Some(client) = config.clients.iter_mut().find(|client| client.id == CLIENT.0) {
            client.redirect_uris.extend(callback);
            client.redirect_uris.extend(self.redirect_uris.clone());
        }
        I::start(config).await
    }

    async fn remote<I: Issuer>(&self, clock: &IssuerClock, home: &I) -> anyhow::Result<I> {
        let connector = DexConnector::oidc(CONNECTOR, home.issuer());
        let mut config = DexConfig::default()
            .clock(clock)
            .id_token_lifetime(self.remote_token_lifetime);
        if self.clients_of_their_own {
            config.clients.extend(self.exchange_clients().into_values());
        }
        I::start(config.connector(connector)).await
    }

    async fn servers<I: Issuer>(&self, home: &I, remote: &I) -> anyhow::Result<BTreeMap<String, McpServer>> {
        let local = McpServer::start(McpTrust::of(home, CLIENT.0)).await?;
        let mut servers = BTreeMap::from([(LOCAL.to_owned(), local)]);
        for (name, client) in self.exchange_clients() {
            let server = McpServer::start(McpTrust::of(remote, &client.id)).await?;
            servers.insert(name, server);
        }
        Ok(servers)
    }
}
