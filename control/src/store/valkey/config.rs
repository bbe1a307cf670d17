//! Valkey's address and credentials, validated before any connection attempt.

use std::fmt;
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisError, TlsMode};
use secrecy::{ExposeSecret, SecretString};

use super::address::{self, BadAddress, ServerRole};

/// The address, credentials and topology of the Valkey store.
#[derive(Debug, Clone)]
pub struct ValkeyConfig {
    /// `redis://host:port/db`, `rediss://…` for TLS, `unix:///path`: the server; with [`Topology::Sentinel`] one
    /// of the sentinels, with [`Topology::Cluster`] one of the nodes. Never contains a password.
    pub url: String,
    /// User of Valkey's ACL; `None` is the default user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// The prefix of every key: `tokenward:`.
    pub key_prefix: String,
    /// Bounds the duration of one operation.
    pub deadline: Duration,
    /// Standalone, Sentinel or Cluster.
    pub topology: Topology,
    /// Whether to hold what was read a moment ago ([`crate::store::Store::recent`]); never in a Cluster.
    pub client_side_caching: bool,
}

/// The kind of deployment behind [`ValkeyConfig::url`].
#[derive(Debug, Clone, Default)]
pub enum Topology {
    /// One server, or a host name that always leads to the primary.
    #[default]
    Standalone,
    /// Sentinels, which are queried for the primary before each connection.
    Sentinel {
        /// The name of the primary in the sentinels' configuration.
        service: String,
        /// URLs of the other sentinels.
        more_sentinels: Vec<String>,
        /// The sentinels' password, if they have one; their user is the default user.
        sentinel_password: Option<SecretString>,
    },
    /// A Valkey Cluster.
    Cluster {
        /// URLs of further nodes to start from if the first is unavailable.
        more_nodes: Vec<String>,
    },
}

/// Why a connection to Valkey failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration is invalid; a retry does not help.
    #[error("{what}")]
    Config {
        /// What is wrong, and a hint.
        what: String,
    },
    /// Valkey is unavailable, refuses the connection or does not answer; a retry may help.
    #[error("cannot reach Valkey at {address}: {source}")]
    Unreachable {
        /// Host and port, or the socket's path.
        address: String,
        /// What an operator can do about it.
        hint: &'static str,
        /// The client's message, without any password.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ConnectError {
    /// Whether a retry may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// What an operator can do about it; empty if the message contains it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Config { .. } => "",
            Self::Unreachable { hint, .. } => hint,
        }
    }
}

/// The client for a topology.
pub(super) enum Route {
    Node(Box<Client>),
    Sentinel(Box<SentinelClient>),
    Cluster(Box<ClusterClient>),
}

/// A validated configuration.
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

/// Validates `config` without network access.
pub(super) fn target(config: &ValkeyConfig) -> Result<Target, ConnectError> {
    let role = match &config.topology {
        Topology::Standalone => ServerRole::Standalone,
        Topology::Sentinel { .. } => ServerRole::Sentinel,
        Topology::Cluster { .. } => ServerRole::ClusterNode,
    };
    let first = address::parse(&config.url, role).map_err(invalid_url)?;
    let address = first.addr().to_string();
    let route = match &config.topology {
        Topology::Standalone => Route::Node(Box::new(
            Client::open(with_credentials(first, config)).map_err(|error| invalid(&error))?,
        )),
        Topology::Sentinel {
            service,
            more_sentinels,
            sentinel_password,
        } => sentinel_route(config, first, service, more_sentinels, sentinel_password.as_ref())?,
        Topology::Cluster { more_nodes } => cluster_route(config, first, more_nodes)?,
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
    let node = with_credentials(first.clone(), config);
    let mut to_nodes = SentinelNodeConnectionInfo::default()
        .set_redis_connection_info(node.redis_settings().clone())
        .set_tcp_settings(node.tcp_settings().clone());
    if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
        to_nodes = to_nodes.set_tls_mode(TlsMode::Secure);
    }
    let sentinels = parse_all(first, more_sentinels, ServerRole::Sentinel)?
        .into_iter()
        .map(|sentinel| {
            // A sentinel has no databases: the one in the URL is the primary's.
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
    .map_err(|error| invalid(&error))
}

fn cluster_route(
    config: &ValkeyConfig,
    first: ConnectionInfo,
    more_nodes: &[String],
) -> Result<Route, ConnectError> {
    let nodes = parse_all(first, more_nodes, ServerRole::ClusterNode)?
        .into_iter()
        .map(|node| with_credentials(node, config));
    ClusterClient::builder(nodes)
        .connection_timeout(config.deadline)
        .response_timeout(config.deadline)
        .tcp_settings(tcp_settings(config.deadline))
        .use_protocol(ProtocolVersion::RESP3)
        .build()
        .map(|client| Route::Cluster(Box::new(client)))
        .map_err(|error| invalid(&error))
}

fn parse_all(
    first: ConnectionInfo,
    more: &[String],
    role: ServerRole,
) -> Result<Vec<ConnectionInfo>, ConnectError> {
    let more = more
        .iter()
        .map(|url| address::parse_more(url, role, &first).map_err(invalid_url))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(std::iter::once(first).chain(more).collect())
}

fn invalid_url(error: BadAddress) -> ConnectError {
    ConnectError::Config {
        what: format!("store.valkey.url {error}; {}", error.hint()),
    }
}

fn with_credentials(info: ConnectionInfo, config: &ValkeyConfig) -> ConnectionInfo {
    // With protocol 3 the client detects a lost connection at once and not by the next command's failure.
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
    // Abandons a peer that vanished without closing the connection (a dead node) after this, not after 15 minutes.
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(deadline.saturating_mul(2));
    settings
}

fn invalid(error: &RedisError) -> ConnectError {
    ConnectError::Config {
        what: format!("store.valkey is not usable: {}", error.category()),
    }
}
