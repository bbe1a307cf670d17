//! The configuration: YAML in, a checked [`Config`] out, or every problem with its place and its cure.

mod callers;
mod check;
pub(crate) mod endpoint;
mod filter_module;
mod intake;
pub(crate) mod issuer;
mod raw;
mod resources;
pub mod secret_source;
pub(crate) mod server;
mod servers;
mod spans;
mod store;

use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::yaml::{self, Location};

pub use filter_module::FilterModule;
pub use intake::IntakeConfig;
pub use issuer::{ClientAuth, IssuerConfig, IssuerPolicy};
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

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the YAML, from 1; 0 where it is not known.
    pub line: u64,
    /// Column, from 1; 0 where it is not known.
    pub column: u64,
    /// What is wrong. Never quotes a secret.
    pub what: String,
    /// How to mend it.
    pub cure: String,
}

impl Problem {
    fn at(place: Location, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            line: place.line(),
            column: place.column(),
            what: what.into(),
            cure: cure.into(),
        }
    }

    fn is_at(&self, place: Location) -> bool {
        place != Location::UNKNOWN && (self.line, self.column) == (place.line(), place.column())
    }
}

/// What to do about a text that is no YAML.
const NOT_YAML: &str = "see to the indentation, the quotes and the brackets here and in the lines before";
const EMPTY: &str = "begin with the example in docs/configuration.md";
const ONE_DOCUMENT: &str = "a configuration is one document: remove the line ---, or the other document";

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {}, column {}: ", self.line, self.column)?;
        }
        write!(formatter, "{}", self.what)?;
        if self.cure.is_empty() {
            return Ok(());
        }
        write!(formatter, "; {}", self.cure)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The content is wrong: everything that was found, in the order of the file.
    #[error("{}", one_per_line(.0))]
    Wrong(Vec<Problem>),
}

fn one_per_line(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

impl Config {
    /// Reads, checks and completes the configuration in `path`, secrets included.
    ///
    /// # Errors
    /// [`ConfigError`]: everything that is wrong, not only the first.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// The same, from the YAML's text.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let documents = yaml::documents(text)
            .map_err(|error| ConfigError::Wrong(vec![Problem::at(error.place, error.what, NOT_YAML)]))?;
        let document = match documents.as_slice() {
            [document] => document,
            [] => {
                return Err(ConfigError::Wrong(vec![Problem::at(
                    Location::UNKNOWN,
                    "it is empty",
                    EMPTY,
                )]));
            }
            [_, second, ..] => {
                let what = "a second document begins here";
                return Err(ConfigError::Wrong(vec![Problem::at(
                    second.place,
                    what,
                    ONE_DOCUMENT,
                )]));
            }
        };
        let shaped = yaml::typed::<raw::RawConfig>(document);
        let mut problems: Vec<Problem> = shaped
            .faults
            .into_iter()
            .map(|fault| Problem::at(fault.place, fault.what, fault.cure))
            .collect();
        match shaped.value.as_ref().map(check::check) {
            Some(Ok(config)) if problems.is_empty() => return Ok(config),
            Some(Err(found)) => {
                // What a map lacks because a part of it has a fault is not wrong by itself.
                let incomplete =
                    |problem: &Problem| shaped.incomplete.iter().any(|place| problem.is_at(*place));
                problems.extend(found.into_iter().filter(|problem| !incomplete(problem)));
            }
            Some(Ok(_)) | None => {}
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems.dedup();
        Err(ConfigError::Wrong(problems))
    }

    /// The server of that name.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&ServerConfig> {
        self.servers.iter().find(|server| server.name == name)
    }
}

/// A configuration of thousands of servers is shorter. A device or a log file named by mistake must not fill the memory.
const LONGEST_BYTES: u64 = 8 * 1024 * 1024;

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(LONGEST_BYTES + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= LONGEST_BYTES) {
        Ok(text)
    } else {
        Err(std::io::Error::other(format!(
            "it is longer than {LONGEST_BYTES} bytes"
        )))
    }
}
