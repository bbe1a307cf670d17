//! Where Valkey is and how it is entered, checked before anything is dialled.

use std::fmt;
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisError, TlsMode};
use secrecy::{ExposeSecret, SecretString};

use super::address::{self, Among, BadAddress};

/// Where the Valkey store is.
#[derive(Debug, Clone)]
pub struct ValkeyConfig {
    /// `redis://host:port/db`, `rediss://…` for TLS, `unix:///path`: the server; with [`Topology::Sentinel`] one
    /// of the sentinels, with [`Topology::Cluster`] one of the nodes. Never with a password in it.
    pub url: String,
    /// User of Valkey's ACL; none is the default user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// Put before every key: `tokenward:`.
    pub key_prefix: String,
    /// The longest that one operation may take.
    pub deadline: Duration,
    /// How many servers there are, and who knows them.
    pub topology: Topology,
}

/// What stands behind [`ValkeyConfig::url`].
#[derive(Debug, Clone, Default)]
pub enum Topology {
    /// One server, or a name that always leads to the primary.
    #[default]
    Standalone,
    /// Sentinels that know the primary, asked anew on every connection.
    Sentinel {
        /// The name under which the sentinels know the primary.
        service: String,
        /// URLs of the other sentinels.
        more_sentinels: Vec<String>,
        /// The sentinels' own password, if they have one; their user is the default user.
        sentinel_password: Option<SecretString>,
    },
    /// A Valkey Cluster.
    Cluster {
        /// URLs of further nodes to start from, should the first be away.
        more_nodes: Vec<String>,
    },
}

/// Why there is no connection to Valkey.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration cannot be right; trying again does not help.
    #[error("{what}")]
    Config {
        /// What is wrong, and the cure.
        what: String,
    },
    /// Valkey is away, refuses us or does not answer; trying again may help.
    #[error("cannot reach Valkey at {address}: {source}")]
    Unreachable {
        /// Host and port, or the socket's path.
        address: String,
        /// What an operator does about it.
        cure: &'static str,
        /// The client's own words, without any password.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ConnectError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// How a connection is made, whatever the topology.
pub(super) enum Route {
    Node(Box<Client>),
    Sentinel(Box<SentinelClient>),
    Cluster(Box<ClusterClient>),
}

/// A checked configuration.
pub(super) struct Target {
    pub(super) route: Route,
    pub(super) address: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Target")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Checks `config` without any network.
pub(super) fn target(config: &ValkeyConfig) -> Result<Target, ConnectError> {
    let among = match &config.topology {
        Topology::Standalone => Among::One,
        Topology::Sentinel { .. } => Among::Sentinels,
        Topology::Cluster { .. } => Among::Nodes,
    };
    let entry = address::parse(&config.url, among).map_err(unusable)?;
    let address = entry.addr().to_string();
    let route = match &config.topology {
        Topology::Standalone => Route::Node(Box::new(
            Client::open(enter(entry, config)).map_err(|error| refuse(&error))?,
        )),
        Topology::Sentinel {
            service,
            more_sentinels,
            sentinel_password,
        } => sentinel_route(config, entry, service, more_sentinels, sentinel_password.as_ref())?,
        Topology::Cluster { more_nodes } => cluster_route(config, entry, more_nodes)?,
    };
    Ok(Target { route, address })
}

fn sentinel_route(
    config: &ValkeyConfig,
    first: ConnectionInfo,
    service: &str,
    more_sentinels: &[String],
    sentinel_password: Option<&SecretString>,
) -> Result<Route, ConnectError> {
    let node = enter(first.clone(), config);
    let mut to_nodes = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(node.redis_settings().clone())
        .set_tcp_settings(node.tcp_settings().clone());
    if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
        to_nodes = to_nodes.set_tls_mode(TlsMode::Secure);
    }
    let sentinels = all(first, more_sentinels, Among::Sentinels)?
        .into_iter()
        .map(|sentinel| {
            // A sentinel has no databases: what the URL's path names is the primary's.
            let mut settings = sentinel.redis_settings().clone().set_db(0);
            if let Some(password) = sentinel_password {
                settings = settings.set_password(password.expose_secret());
            }
            sentinel
                .set_redis_settings(settings)
                .set_tcp_settings(tcp_settings(config.deadline))
        });
    SentinelClient::build(
        sentinels.collect(),
        service,
        Some(to_nodes),
        SentinelServerType::Master,
    )
    .map(|client| Route::Sentinel(Box::new(client)))
    .map_err(|error| refuse(&error))
}

fn cluster_route(
    config: &ValkeyConfig,
    first: ConnectionInfo,
    more_nodes: &[String],
) -> Result<Route, ConnectError> {
    let nodes = all(first, more_nodes, Among::Nodes)?
        .into_iter()
        .map(|node| enter(node, config));
    ClusterClient::builder(nodes)
        .connection_timeout(config.deadline)
        .response_timeout(config.deadline)
        .tcp_settings(tcp_settings(config.deadline))
        .use_protocol(ProtocolVersion::RESP3)
        .build()
        .map(|client| Route::Cluster(Box::new(client)))
        .map_err(|error| refuse(&error))
}

fn all(first: ConnectionInfo, more: &[String], among: Among) -> Result<Vec<ConnectionInfo>, ConnectError> {
    let more = more
        .iter()
        .map(|url| address::parse_more(url, among, &first).map_err(unusable))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(std::iter::once(first).chain(more).collect())
}

fn unusable(bad: BadAddress) -> ConnectError {
    ConnectError::Config {
        what: format!("store.valkey.url {bad}; {}", bad.cure()),
    }
}

fn enter(info: ConnectionInfo, config: &ValkeyConfig) -> ConnectionInfo {
    // With protocol 3 the client hears of a lost connection at once and not by the next command's failure.
    let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(password.expose_secret());
    }
    info.set_redis_settings(settings)
        .set_tcp_settings(tcp_settings(config.deadline))
}

fn tcp_settings(deadline: Duration) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    // A peer that vanished without a word (a node that died) is given up after this and not after 15 minutes.
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(deadline.saturating_mul(2));
    settings
}

fn refuse(error: &RedisError) -> ConnectError {
    ConnectError::Config {
        what: format!("store.valkey is not usable: {}", error.category()),
    }
}
