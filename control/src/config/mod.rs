//! The configuration: YAML in, a checked [`Config`] out, or every problem with its place and its hint.

mod check;
mod credentials;
mod durations;
pub(crate) mod endpoint;
mod filter_module;
mod findings;
mod intake;
pub(crate) mod issuer;
mod load;
mod problem;
mod raw;
mod resources;
mod sealing;
mod secret_source;
pub(crate) mod server;
mod servers;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

pub use filter_module::FilterModule;
pub use intake::IntakeConfig;
pub use issuer::{ClientAuth, IssuerConfig, IssuerPolicy};
pub use problem::{ConfigError, Problem};
pub use resources::{Resource, ResourceMetadata};
pub use server::{ExchangeConfig, ServerConfig, TokenSource};

/// Everything that the service needs to know, checked, with secrets read.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long and how many callers may keep it busy.
    pub intake: IntakeConfig,
    /// What callers must show.
    pub credentials: Credentials,
    /// Where everything is kept.
    pub store: StoreConfig,
    /// How tokens are sealed there.
    pub sealing: SealingConfig,
    /// How long before its `exp` a token is no longer handed out.
    pub margin: Duration,
    /// How long after its `exp` a token still proves its subject.
    pub stale_subject_grace: Duration,
    /// How long a session is known after its last `PUT`, and a grant after its last change.
    pub session_lifetime: Duration,
    /// How long one call to an issuer may take.
    pub issuer_timeout: Duration,
    /// How long a caller waits for somebody's refresh.
    pub caller_deadline: Duration,
    /// How long after its last sign of life a replica's refresh keeps the others from taking over.
    pub lease: Duration,
    /// How long an issuer may answer a refresh with failures of its own until the grant counts as dead.
    pub transient_limit: Duration,
    /// At most one new token per grant or exchange in this span because a server rejected one.
    pub rejected_interval: Duration,
    /// The issuers whose tokens are kept.
    pub issuers: Vec<IssuerConfig>,
    /// The protected servers.
    pub servers: Vec<ServerConfig>,
    /// The filter, where control serves it.
    pub filter_module: Option<FilterModule>,
    /// What the servers' protected resource metadata share.
    pub resource_metadata: ResourceMetadata,
}

/// The callers' credentials.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Of the filter, for the token endpoint.
    pub filter: SecretString,
    /// Of the aggregator, for the sessions API.
    pub aggregator: SecretString,
}

/// The store engine and its deadline.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Which engine.
    pub engine: StoreEngine,
    /// How long one operation may take.
    pub deadline: Duration,
}

/// A store engine.
#[derive(Debug, Clone)]
pub enum StoreEngine {
    /// A redb file, for one process.
    Embedded {
        /// The file.
        path: PathBuf,
    },
    /// A Valkey (or Redis) server, shared by any number of processes.
    Valkey {
        /// `redis://…`, `rediss://…`: the server, one of the sentinels, or one of the cluster's nodes.
        url: String,
        /// The user, where it is not the default one.
        username: Option<String>,
        /// The password, where there is one.
        password: Option<SecretString>,
        /// In front of every key.
        key_prefix: String,
        /// What the URL leads to.
        servers: ValkeyServers,
    },
}

/// What stands behind a Valkey URL.
#[derive(Debug, Clone)]
pub enum ValkeyServers {
    /// One server, or a name that always leads to the primary.
    One,
    /// Sentinels.
    Sentinel {
        /// The name of the primary among them.
        service: String,
        /// URLs of the others.
        more_sentinels: Vec<String>,
        /// The sentinels' own password.
        password: Option<SecretString>,
    },
    /// A Valkey Cluster.
    Cluster {
        /// URLs of more nodes to start from.
        more_nodes: Vec<String>,
    },
}

/// The sealing keys.
#[derive(Debug, Clone)]
pub struct SealingConfig {
    /// Seals and opens.
    pub current: SealingKeyConfig,
    /// Open only: keys that were current before.
    pub previous: Vec<SealingKeyConfig>,
}

/// One sealing key.
#[derive(Debug, Clone)]
pub struct SealingKeyConfig {
    /// Its name, kept beside what it sealed.
    pub id: String,
    /// Base64 of 32 bytes.
    pub key: SecretString,
}

impl Config {
    /// The server of that name.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&ServerConfig> {
        self.servers.iter().find(|server| server.name == name)
    }
}
