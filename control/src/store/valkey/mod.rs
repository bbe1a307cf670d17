//! The Valkey engine: for several replicas, and for a store that outlives the pod.
//!
//! Keys are `<prefix>{<kind>:<name>}`, `<prefix>{<kind>/<name>}` for a set and `<prefix>{<kind>!<name>}` for a lease, with kinds and digests
//! written [`short`]. Every compare-and-set is one script ([`scripts`]) of one key, every lifetime is counted by the server's clock.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use redis::{ErrorKind, RedisError, ScriptInvocation, Value, cmd};
use secrecy::{ExposeSecret, SecretString};

use super::lifetime::lifetime_ms;
use super::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, Page, Store, StoreError, WriteOutcome,
};

pub mod address;
mod config;
mod link;
mod listing;
mod obstacle;
mod reply;
mod scripts;
mod short;

pub use config::{ConnectError, Topology, ValkeyConfig};

use link::{Link, NoReply, Request};
use listing::Position;
use obstacle::Obstacle;
use short::short;

/// Tokenward's records in a Valkey, shared by all replicas that use the same prefix.
pub struct ValkeyStore {
    address: String,
    key_prefix: String,
    deadline: Duration,
    /// Never to be seen in an error, whatever a server chooses to quote.
    secrets: Vec<SecretString>,
    is_cluster: bool,
    link: Link,
}

impl fmt::Debug for ValkeyStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ValkeyStore")
            .field("address", &self.address)
            .field("key_prefix", &self.key_prefix)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// The client's or the server's own words.
#[derive(Debug, thiserror::Error)]
#[error("Valkey at {address}: {words}")]
struct ValkeyFailure {
    address: String,
    words: String,
    /// For callers; names no host.
    cause: String,
    cure: &'static str,
}

/// What a failure of this engine means, without naming the host; `None`: it is not of this engine.
pub(super) fn cause(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<String> {
    source
        .downcast_ref::<ValkeyFailure>()
        .map(|failure| failure.cause.clone())
}

/// What an operator does about a failure of this engine; `None`: it is not of this engine.
pub(super) fn cure(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<&'static str> {
    source.downcast_ref::<ValkeyFailure>().map(|failure| failure.cure)
}

impl ValkeyStore {
    /// Connects, and keeps the connection from then on: once this has succeeded, a Valkey that goes away is an
    /// error of each operation until it is back.
    ///
    /// # Errors
    /// [`ConnectError::Config`] for a configuration that cannot be right, [`ConnectError::Unreachable`] when one
    /// attempt (bounded by the deadline) did not succeed: the caller may try again.
    pub async fn connect(config: ValkeyConfig) -> Result<Self, ConnectError> {
        let store = Self::open(config)?;
        store.reached().await?;
        Ok(store)
    }

    /// [`ValkeyStore::connect`] that waits for nothing: until Valkey is reached, each operation is an error. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`ConnectError::Config`].
    pub fn open(config: ValkeyConfig) -> Result<Self, ConnectError> {
        let target = config::target(&config)?;
        let is_cluster = matches!(config.topology, Topology::Cluster { .. });
        let sentinel_password = match config.topology {
            Topology::Sentinel {
                sentinel_password, ..
            } => sentinel_password,
            Topology::Standalone | Topology::Cluster { .. } => None,
        };
        Ok(Self {
            address: target.address,
            key_prefix: config.key_prefix,
            deadline: config.deadline,
            is_cluster,
            secrets: config.password.into_iter().chain(sentinel_password).collect(),
            link: Link::start(target.route, config.deadline),
        })
    }

    /// Whether [`ValkeyStore::open`] would accept `config`; dials nothing.
    ///
    /// # Errors
    /// [`ConnectError::Config`].
    pub fn check(config: &ValkeyConfig) -> Result<(), ConnectError> {
        config::target(config).map(drop)
    }

    /// Waits until the attempt to connect that is under way has ended.
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`], with why; it is tried again all the time.
    pub async fn reached(&self) -> Result<(), ConnectError> {
        self.link.reached().await.map_err(|error| {
            let words = self.words(&error);
            ConnectError::Unreachable {
                address: self.address.clone(),
                cure: Obstacle::of(&error, &words).cure(),
                source: words.into(),
            }
        })
    }

    fn value_key(&self, key: &Key) -> String {
        self.kept_under(key, ':')
    }

    fn set_key(&self, set: &Key) -> String {
        self.kept_under(set, '/')
    }

    fn lease_key(&self, name: &Key) -> String {
        self.kept_under(name, '!')
    }

    fn kept_under(&self, key: &Key, mark: char) -> String {
        let (kind, name) = key.as_str().rsplit_once(':').unwrap_or_default();
        format!(
            "{}{{{}{mark}{}}}",
            self.key_prefix,
            short::kind(kind),
            short(name)
        )
    }

    async fn ask(
        &self,
        operation: &'static str,
        key: &Key,
        request: Request<'_>,
    ) -> Result<Value, StoreError> {
        match self.link.request(request).await {
            Ok(reply) => Ok(reply),
            Err(NoReply::Late) => Err(StoreError::Late {
                operation,
                deadline: self.deadline,
            }),
            Err(NoReply::Failed(error)) if met_a_strange_record(&error) => Err(StoreError::Unexpected {
                key: key.clone(),
                what: self.words(&error),
            }),
            Err(NoReply::Failed(error)) => Err(StoreError::Failed {
                operation,
                source: Box::new(self.failure(&error)),
            }),
        }
    }

    fn failure(&self, error: &RedisError) -> ValkeyFailure {
        let words = self.words(error);
        let obstacle = Obstacle::of(error, &words);
        ValkeyFailure {
            address: self.address.clone(),
            cause: obstacle.cause(),
            cure: obstacle.cure(),
            words,
        }
    }

    /// The lowest slot of the next primary behind that of `slot`.
    async fn next_primary(&self, kind: &Key, slot: u16) -> Result<Option<u16>, StoreError> {
        if !self.is_cluster {
            return Ok(None);
        }
        let mut command = cmd("CLUSTER");
        command.arg("SLOTS");
        let reply = self.ask("list", kind, Request::Command(&command)).await?;
        let primaries = listing::primaries(&reply).map_err(unexpected(kind))?;
        Ok(primaries.into_iter().find(|lowest| *lowest > slot))
    }

    async fn run(
        &self,
        operation: &'static str,
        key: &Key,
        script: &ScriptInvocation<'_>,
    ) -> Result<Value, StoreError> {
        self.ask(operation, key, Request::Script(script)).await
    }

    fn words(&self, error: &RedisError) -> String {
        self.secrets
            .iter()
            .map(ExposeSecret::expose_secret)
            .filter(|secret| !secret.is_empty())
            .fold(error.to_string(), |words, secret| {
                words.replace(secret, "[password]")
            })
    }
}

/// Whether the server is well and the record is not: another type under our key, a script's complaint about its
/// shape, a reply that is no valid protocol.
fn met_a_strange_record(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType)
        || matches!(error.code(), Some("WRONGTYPE" | scripts::UNEXPECTED_CODE))
}

fn expectation(expected: Expected) -> Vec<u8> {
    match expected {
        Expected::Absent => scripts::EXPECT_ABSENT.into(),
        Expected::Any => scripts::EXPECT_ANY.into(),
        Expected::At(revision) => revision.0.to_be_bytes().into(),
    }
}

fn unexpected(key: &Key) -> impl FnOnce(reply::Misshapen) -> StoreError + '_ {
    |what| StoreError::Unexpected {
        key: key.clone(),
        what: what.to_owned(),
    }
}

#[async_trait]
impl Store for ValkeyStore {
    fn engine(&self) -> &'static str {
        "valkey"
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let mut command = cmd("GET");
        command.arg(self.value_key(key));
        let reply = self.ask("read", key, Request::Command(&command)).await?;
        reply::entry(reply).map_err(unexpected(key))
    }

    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError> {
        let mut script = scripts::WRITE.key(self.value_key(key));
        script.arg(expectation(expected)).arg(value);
        script.arg(lifetime.map_or_else(String::new, |lifetime| lifetime_ms(lifetime).to_string()));
        let reply = self.run("write", key, &script).await?;
        reply::outcome(reply).map_err(unexpected(key))
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError> {
        let mut script = scripts::DELETE.key(self.value_key(key));
        script.arg(expectation(expected));
        let reply = self.run("delete", key, &script).await?;
        reply::outcome(reply).map_err(unexpected(key))
    }

    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let any = Key::new(kind, "");
        let position = Position::of(after).map_err(unexpected(&any))?;
        let start = format!("{}{{{}:", self.key_prefix, short::kind(kind));
        let mut command = cmd("SCAN");
        command
            .arg(position.cursor)
            .arg("MATCH")
            .arg(listing::pattern(&start));
        command.arg("COUNT").arg(limit.max(1));
        let reply = self
            .ask("list", &any, Request::AtSlot(&command, position.slot))
            .await?;
        let (cursor, stored) = listing::scanned(reply).map_err(unexpected(&any))?;
        let next = if cursor == 0 {
            let primary = self.next_primary(&any, position.slot).await?;
            primary.map(|slot| Position { slot, cursor: 0 })
        } else {
            Some(Position { cursor, ..position })
        };
        Ok(Page {
            keys: listing::names(stored, &start)
                .map(|name| Key::new(kind, &name))
                .collect(),
            next: next.map(Cursor::from),
        })
    }

    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError> {
        let mut script = scripts::ADD_MEMBER.key(self.set_key(set));
        script.arg(short(member).as_ref()).arg(lifetime_ms(lifetime));
        let reply = self.run("add_member", set, &script).await?;
        reply::flag(&reply).map(drop).map_err(unexpected(set))
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        let mut command = cmd("SREM");
        command.arg(self.set_key(set)).arg(short(member).as_ref());
        let reply = self.ask("remove_member", set, Request::Command(&command)).await?;
        reply::flag(&reply).map(drop).map_err(unexpected(set))
    }

    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError> {
        let mut command = cmd("SMEMBERS");
        command.arg(self.set_key(set));
        let reply = self.ask("members", set, Request::Command(&command)).await?;
        reply::members(reply).map_err(unexpected(set))
    }

    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        let mut script = scripts::ACQUIRE_LEASE.key(self.lease_key(name));
        script.arg(&owner.0).arg(lifetime_ms(lifetime));
        let reply = self.run("acquire_lease", name, &script).await?;
        let left_ms = reply::lease(&reply).map_err(unexpected(name))?;
        Ok(
            left_ms.map_or(LeaseAnswer::Acquired, |left_ms| LeaseAnswer::Held {
                remaining: Duration::from_millis(left_ms),
            }),
        )
    }

    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError> {
        let mut script = scripts::RELEASE_LEASE.key(self.lease_key(name));
        script.arg(&owner.0);
        let reply = self.run("release_lease", name, &script).await?;
        reply::flag(&reply).map_err(unexpected(name))
    }

    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError> {
        let script = scripts::LINEAGE.key(self.value_key(key));
        let reply = self.run("lineage", key, &script).await?;
        reply::lineage(reply).map_err(unexpected(key))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let nowhere = Key::new("ping", "");
        match self.ask("ping", &nowhere, Request::Command(&cmd("PING"))).await? {
            Value::SimpleString(pong) if pong == "PONG" => Ok(()),
            _ => Err(unexpected(&nowhere)("PING was not answered with PONG")),
        }
    }
}
