//! The list of servers for filters: its JSON, and the version under which a replica serves it.
//!
//! The store holds the newest version with the digest of its content. A replica that loads another content publishes it under a
//! higher version; one whose content is not the newest serves it under the version that it had last. A filter takes only higher
//! versions, so while replicas with two configurations run, its list never goes back.

mod json;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokenward_protocol::filter_state::MAX_SERVERS_BYTES;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::Config;
use crate::digest;
use crate::digest::packed;
use crate::record::codec;
use crate::store::{Expected, Key, Store, StoreError, WriteOutcome};

pub use json::server_list_json;

const FORMAT: u8 = 1;
/// How long the version that was read last stands.
const READ_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct VersionRecord {
    format: u8,
    version: u64,
    #[serde(with = "packed")]
    digest: String,
}

fn key() -> Key {
    Key::new("filter_servers", "version")
}

/// A list that a filter would not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the list of servers has {bytes} bytes as filters read it, more than {MAX_SERVERS_BYTES}: use shorter names and fewer audiences"
)]
pub struct TooLong {
    bytes: usize,
}

/// The list of one configuration. Cheap to clone; clones share what was read.
#[derive(Debug, Clone)]
pub struct PublishedList {
    json: Arc<[u8]>,
    digest: String,
    state: Arc<Mutex<Known>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The version under which it is served; `None`: it was not published yet.
    version: Option<u64>,
    read_at: Option<Instant>,
}

impl PublishedList {
    /// The list of `config`, not published yet.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn new(config: &Config) -> Result<Self, TooLong> {
        let json = server_list_json(config);
        if json.len() > MAX_SERVERS_BYTES {
            return Err(TooLong { bytes: json.len() });
        }
        Ok(Self {
            digest: digest::hex(&Sha256::digest(&json)),
            json: json.into(),
            state: Arc::default(),
        })
    }

    /// The list of the next configuration: this one, if its content is the same.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn succeeded_by(&self, config: &Config) -> Result<Self, TooLong> {
        let next = Self::new(config)?;
        Ok(if next.digest == self.digest {
            self.clone()
        } else {
            next
        })
    }

    /// The JSON.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    fn known(&self) -> Known {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version under which it was last served; `None`: it was not published yet.
    #[must_use]
    pub fn known_version(&self) -> Option<u64> {
        self.known().version
    }

    /// The version under which it is served, published if it was not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn version(&self, store: &dyn Store, clock: &dyn Clock) -> Result<u64, StoreError> {
        let known = self.known();
        if let (Some(version), Some(read_at)) = (known.version, known.read_at)
            && read_at.elapsed() < READ_EVERY
        {
            return Ok(version);
        }
        let read_at = Instant::now();
        let version = self.agree(known.version, store, clock).await?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Known {
            version: Some(version),
            read_at: Some(read_at),
        };
        Ok(version)
    }

    /// Reads the stored version, and replaces it if this content is newer.
    async fn agree(&self, own: Option<u64>, store: &dyn Store, clock: &dyn Clock) -> Result<u64, StoreError> {
        loop {
            let entry = store.read(&key()).await?;
            let stored: Option<VersionRecord> = (entry.as_ref())
                .map(|entry| codec::decode(FORMAT, &key(), &entry.value))
                .transpose()?;
            let version = match (&stored, own) {
                (Some(stored), _) if stored.digest == self.digest => return Ok(stored.version),
                // Another replica has published another content since.
                (Some(stored), Some(own)) if stored.version >= own => return Ok(own),
                // The store was wiped or went back in time.
                (_, Some(own)) => own,
                (stored, None) => {
                    let after = stored.as_ref().map_or(0, |stored| stored.version);
                    after.saturating_add(1).max(clock.now_ms())
                }
            };
            let record = VersionRecord {
                format: FORMAT,
                version,
                digest: self.digest.clone(),
            };
            let expected = entry.map_or(Expected::Absent, |entry| Expected::At(entry.revision));
            let bytes = codec::encode("serialize version of servers", &record)?;
            let written = store.write(&key(), expected, &bytes, None).await?;
            if matches!(written, WriteOutcome::Done(_)) {
                return Ok(version);
            }
        }
    }
}
