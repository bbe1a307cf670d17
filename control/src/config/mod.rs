//! The configuration: YAML in, a checked [`Config`] out, or every problem with its position and a hint.

mod audit;
mod authorization;
mod check;
mod client_proof;
mod console;
mod credentials;
mod durations;
pub(crate) mod endpoint;
pub(crate) mod exchange;
mod filter_module;
mod findings;
mod intake;
pub(crate) mod issuer;
mod issuer_guide;
mod issuer_limits;
mod issuers;
pub mod known_clients;
pub(crate) mod kubernetes;
mod load;
mod problem;
mod raw;
mod raw_values;
pub mod redirect_uri;
mod relay;
mod relays;
mod resources;
mod sealing;
mod secret_source;
pub(crate) mod server;
mod server_routing;
mod servers;
mod store;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::audit::AuditTarget;

pub(crate) use authorization::AUTHORIZATION_PATHS;
pub use authorization::{
    AuthorizationConfig, ClientsConfig, ConfiguredClient, MetadataDocumentHosts, MetadataDocumentsConfig,
    PinnedDocument, REGISTERED_CLIENT_PREFIX, RegistrationConfig, RememberedConsentConfig, SigningKeysConfig,
    UpstreamLoginConfig, guide,
};
pub use console::ConsoleConfig;
pub use exchange::{ExchangeConfig, Verification};
pub use filter_module::FilterModule;
pub use intake::IntakeConfig;
pub use issuer::{
    ClientAuth, DialectSource, IssuerConfig, IssuerPolicy, RefreshTokens, SignOutAtIssuer, StatedTreatment,
};
pub use issuer_guide::issuer_guide;
pub use issuer_limits::IssuerLimits;
pub use kubernetes::{HostPattern, KubernetesConfig, ResourceSelection};
pub use load::Loaded;
pub use problem::{ConfigError, Problem};
pub use relay::RelayConfig;
pub use resources::{Resource, ResourceMetadata};
pub use server::{ServerConfig, ServerRoute, TokenSource};
pub use tls::{CertificateProblem, TlsConfig, TlsError, TlsFiles, TlsPart};

/// The checked configuration, with all secrets read.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; port 0 selects a free port.
    pub listen: SocketAddr,
    /// TLS on that address; `None`: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// How often the files of the configuration are looked at for changes.
    pub watch_interval: Duration,
    /// Limits on connections and requests.
    pub intake: IntakeConfig,
    /// The credentials that callers must present.
    pub credentials: Credentials,
    /// Where records are stored.
    pub store: StoreConfig,
    /// The keys that seal tokens in the store.
    pub sealing: SealingConfig,
    /// A token is no longer returned from this long before its `exp`.
    pub margin: Duration,
    /// A token still proves its subject until this long after its `exp`.
    pub stale_subject_grace: Duration,
    /// Lifetime of a session after its last `PUT`, and of a grant after its last change.
    pub session_lifetime: Duration,
    /// Timeout of one call to an issuer.
    pub issuer_timeout: Duration,
    /// How long a request waits for a refresh in progress.
    pub caller_deadline: Duration,
    /// Duration of the refresh lease: a replica that stops renewing it blocks the others from taking over for this long.
    pub lease: Duration,
    /// How long an issuer may fail refreshes with errors of its own until the grant counts as dead.
    pub transient_limit: Duration,
    /// Minimum interval between new tokens of one grant or exchange that are fetched because a server rejected one.
    pub rejected_interval: Duration,
    /// The issuers whose tokens are stored.
    pub issuers: Vec<IssuerConfig>,
    /// The limits that are stated of issuers at which users log in or tokens are exchanged, by issuer.
    pub stated_limits: BTreeMap<String, IssuerLimits>,
    /// The protected servers.
    pub servers: Vec<ServerConfig>,
    /// The filter module, where control serves it.
    pub filter_module: Option<FilterModule>,
    /// Protected resource metadata that all servers share.
    pub resource_metadata: ResourceMetadata,
    /// Our own authorization server for MCP clients; `None`: there is none.
    pub authorization: Option<AuthorizationConfig>,
    /// The page for operators; `None`: there is none.
    pub console: Option<ConsoleConfig>,
    /// Where the audit log goes; `None`: there is none.
    pub audit: Option<AuditTarget>,
    /// The Kubernetes resources that are servers too; `None`: none are.
    pub kubernetes: Option<KubernetesConfig>,
}

/// The callers' credentials.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The filter's, for the token endpoint.
    pub filter: SecretString,
    /// The aggregator's, for the sessions API.
    pub aggregator: SecretString,
}

/// The store engine and its deadline.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The engine.
    pub engine: StoreEngine,
    /// Timeout of one operation.
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
        /// The user; `None`: the default user.
        username: Option<String>,
        /// The user's password, if one is required.
        password: Option<SecretString>,
        /// Prefix of every key.
        key_prefix: String,
        /// What the URL addresses.
        servers: ValkeyServers,
        /// Whether to hold what was read a moment ago.
        client_side_caching: bool,
    },
}

/// What a Valkey URL addresses.
#[derive(Debug, Clone)]
pub enum ValkeyServers {
    /// One server, or a name that always resolves to the primary.
    One,
    /// A Sentinel deployment.
    Sentinel {
        /// The name under which the sentinels monitor the primary.
        service: String,
        /// URLs of the other sentinels.
        more_sentinels: Vec<String>,
        /// The sentinels' own password.
        password: Option<SecretString>,
    },
    /// A Valkey Cluster.
    Cluster {
        /// URLs of further seed nodes.
        more_nodes: Vec<String>,
    },
}

/// The sealing keys.
#[derive(Debug, Clone)]
pub struct SealingConfig {
    /// Seals and unseals.
    pub current: SealingKeyConfig,
    /// Only unseal: earlier current keys.
    pub previous: Vec<SealingKeyConfig>,
}

/// One sealing key.
#[derive(Debug, Clone)]
pub struct SealingKeyConfig {
    /// Its id, stored beside everything that it sealed.
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

    /// The limits of calls to `issuer`.
    #[must_use]
    pub fn limits_of(&self, issuer: &str) -> IssuerLimits {
        self.stated_limits.get(issuer).copied().unwrap_or_default()
    }
}
