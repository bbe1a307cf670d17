//! The Valkey engine: for several replicas, and for a store that outlives the pod.
//!
//! Keys are `<prefix>{<kind>:<name>}`, `<prefix>{<kind>/<name>}` for a set, `<prefix>{<kind>|<name>}` for a stream and
//! `<prefix>{<kind>!<name>}` for a lease, with kinds and digests in a [`compact`] encoding. Every compare-and-set is one script ([`scripts`]) of one key, and the
//! server's clock measures every lifetime.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Value, cmd};
use secrecy::SecretString;
use tokio::time::Instant;

use super::lifetime::lifetime_ms;
use super::recent;
use super::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, Page, Recent, Store, StoreError,
    StreamEntry, StreamFrom, StreamLimit, WriteOutcome,
};

pub mod address;
mod compact;
mod config;
mod diagnosis;
mod link;
mod listing;
mod reply;
mod request;
mod scripts;
mod stream;
mod tracking;

pub use config::{ConnectError, Topology, ValkeyConfig};

use diagnosis::Diagnosis;
use link::{Link, Request};
use listing::Position;
use request::unexpected;
use tracking::Tracking;

/// A store in a Valkey, shared by all replicas that use the same prefix.
pub struct ValkeyStore {
    address: String,
    key_prefix: String,
    deadline: Duration,
    /// Removed from error messages: a server may quote them.
    secrets: Vec<SecretString>,
    is_cluster: bool,
    link: Link,
    /// Set where recent reads are held.
    tracking: Option<Arc<Tracking>>,
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

impl ValkeyStore {
    /// Connects, and maintains the connection from then on: after this has succeeded, each operation during an outage of
    /// Valkey returns an error.
    ///
    /// # Errors
    /// [`ConnectError::Config`] for an invalid configuration, [`ConnectError::Unreachable`] if one attempt, bounded by the
    /// deadline, failed: the caller may retry.
    pub async fn connect(config: ValkeyConfig) -> Result<Self, ConnectError> {
        let store = Self::open(config)?;
        store.connected().await?;
        Ok(store)
    }

    /// Like [`ValkeyStore::connect`], but does not wait: until Valkey is connected, each operation returns an error. Needs a
    /// tokio runtime.
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
        // A Cluster reports on a connection to each node, and the client moves keys between them by itself.
        let tracking =
            (config.client_side_caching && !is_cluster).then(|| Arc::new(Tracking::new(&config.key_prefix)));
        Ok(Self {
            address: target.address,
            key_prefix: config.key_prefix,
            deadline: config.deadline,
            is_cluster,
            secrets: config.password.into_iter().chain(sentinel_password).collect(),
            link: Link::start(target.route, config.deadline, tracking.clone()),
            tracking,
        })
    }

    /// Whether [`ValkeyStore::open`] would accept `config`; opens no connection.
    ///
    /// # Errors
    /// [`ConnectError::Config`].
    pub fn check(config: &ValkeyConfig) -> Result<(), ConnectError> {
        config::target(config).map(drop)
    }

    /// Waits for the attempt to connect that is in progress.
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`] with the reason; the store retries continuously.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        self.link.connected().await.map_err(|error| {
            let message = self.redacted(&error);
            ConnectError::Unreachable {
                address: self.address.clone(),
                hint: Diagnosis::new(&error, &message).hint(),
                source: message.into(),
            }
        })
    }

    fn value_key(&self, key: &Key) -> String {
        self.stored_key(key, ':')
    }

    fn set_key(&self, set: &Key) -> String {
        self.stored_key(set, '/')
    }

    fn stream_key(&self, stream: &Key) -> String {
        self.stored_key(stream, '|')
    }

    fn lease_key(&self, name: &Key) -> String {
        self.stored_key(name, '!')
    }

    fn stored_key(&self, key: &Key, separator: char) -> String {
        let (kind, name) = key.as_str().rsplit_once(':').unwrap_or_default();
        format!(
            "{}{{{}{separator}{}}}",
            self.key_prefix,
            compact::encode_kind(kind),
            compact::encode(name)
        )
    }
}

fn precondition(expected: Expected) -> Vec<u8> {
    match expected {
        Expected::Absent => scripts::EXPECT_ABSENT.into(),
        Expected::Any => scripts::EXPECT_ANY.into(),
        Expected::At(revision) => revision.0.to_be_bytes().into(),
    }
}

#[async_trait]
impl Store for ValkeyStore {
    fn engine(&self) -> &'static str {
        "valkey"
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.get(key, &self.value_key(key)).await
    }

    async fn read_and_hold(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let name = self.value_key(key);
        let held = self.tracking.as_ref().filter(|_| tracking::is_held(key.kind()));
        let reading = held.and_then(|tracking| tracking.recent.reading(&name, Instant::now()));
        let entry = self.get(key, &name).await?;
        if let Some(reading) = reading {
            reading.hold(entry.clone());
        }
        Ok(entry)
    }

    fn recent(&self, key: &Key) -> Option<Arc<Recent>> {
        let tracking = self.tracking.as_ref()?;
        tracking.recent.get(&self.value_key(key), Instant::now())
    }

    fn recent_lifetime(&self) -> Duration {
        (self.tracking.as_ref()).map_or(Duration::ZERO, |_| recent::PROOF_LIFETIME)
    }

    fn recent_bytes(&self) -> usize {
        (self.tracking.as_ref()).map_or(0, |tracking| tracking.recent.bytes())
    }

    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError> {
        let name = self.value_key(key);
        let mut script = scripts::WRITE.key(&name);
        script.arg(precondition(expected)).arg(value);
        script.arg(lifetime.map_or_else(String::new, |lifetime| lifetime_ms(lifetime).to_string()));
        self.change("write", (key, &name), &script).await
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError> {
        let name = self.value_key(key);
        let mut script = scripts::DELETE.key(&name);
        script.arg(precondition(expected));
        self.change("delete", (key, &name), &script).await
    }

    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let any = Key::new(kind, "");
        let position = Position::decode(after).map_err(unexpected(&any))?;
        let start = format!("{}{{{}:", self.key_prefix, compact::encode_kind(kind));
        let mut command = cmd("SCAN");
        command
            .arg(position.cursor)
            .arg("MATCH")
            .arg(listing::pattern(&start));
        command.arg("COUNT").arg(limit.max(1));
        let reply = self
            .request("list", &any, Request::AtSlot(&command, position.slot))
            .await?;
        let (cursor, stored) = listing::scan_reply(reply).map_err(unexpected(&any))?;
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
        script
            .arg(compact::encode(member).as_ref())
            .arg(lifetime_ms(lifetime));
        let reply = self.run("add_member", set, &script).await?;
        reply::flag(&reply).map(drop).map_err(unexpected(set))
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        let mut command = cmd("SREM");
        command
            .arg(self.set_key(set))
            .arg(compact::encode(member).as_ref());
        let reply = self
            .request("remove_member", set, Request::Command(&command))
            .await?;
        reply::flag(&reply).map(drop).map_err(unexpected(set))
    }

    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError> {
        let mut command = cmd("SMEMBERS");
        command.arg(self.set_key(set));
        let reply = self.request("members", set, Request::Command(&command)).await?;
        reply::members(reply).map_err(unexpected(set))
    }

    async fn append(&self, stream: &Key, values: &[Vec<u8>], limit: StreamLimit) -> Result<(), StoreError> {
        let mut script = scripts::APPEND.key(self.stream_key(stream));
        script.arg(limit.entries).arg(lifetime_ms(limit.lifetime));
        for value in values {
            script.arg(value.as_slice());
        }
        let reply = self.run("append", stream, &script).await?;
        reply::flag(&reply).map(drop).map_err(unexpected(stream))
    }

    async fn entries(
        &self,
        stream: &Key,
        from: StreamFrom<'_>,
        limit: usize,
    ) -> Result<Vec<StreamEntry>, StoreError> {
        let command =
            stream::page_command(&self.stream_key(stream), from, limit).map_err(unexpected(stream))?;
        let reply = self
            .request("entries", stream, Request::Command(&command))
            .await?;
        stream::entries(reply).map_err(unexpected(stream))
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
        let remaining_ms = reply::lease(&reply).map_err(unexpected(name))?;
        Ok(
            remaining_ms.map_or(LeaseAnswer::Acquired, |remaining_ms| LeaseAnswer::Held {
                remaining: Duration::from_millis(remaining_ms),
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
        let key = Key::new("ping", "");
        match self.request("ping", &key, Request::Command(&cmd("PING"))).await? {
            Value::SimpleString(pong) if pong == "PONG" => Ok(()),
            _ => Err(unexpected(&key)("the reply to PING is not PONG")),
        }
    }
}
