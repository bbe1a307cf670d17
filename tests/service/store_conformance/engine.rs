//! An engine with the process or folder that it needs, and a way to advance its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokenward_control::clock::HandClock;
use tokenward_control::store::embedded::EmbeddedStore;
use tokenward_control::store::valkey::{Topology, ValkeyConfig, ValkeyStore};
use tokenward_control::store::{Key, Store};
use tokenward_harness::parts::Valkey;

/// Longer than any successful operation takes, however busy the machine is.
pub(super) const LONG_DEADLINE: Duration = Duration::from_secs(30);

/// An arbitrary time, in Unix milliseconds.
pub(super) const NOW_MS: u64 = 1_800_000_000_000;

/// One store engine under test.
pub(super) struct Engine {
    pub(super) store: Arc<dyn Store>,
    clock: Option<Arc<HandClock>>,
    keys: AtomicUsize,
    /// The process and the folder of the store, removed on drop.
    _parts: (Option<Valkey>, Option<TempDir>),
}

impl Engine {
    pub(super) async fn embedded() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-store-")?;
        let clock = Arc::new(HandClock::at(NOW_MS));
        let store =
            EmbeddedStore::open(folder.path().join("store.redb"), LONG_DEADLINE, clock.clone()).await?;
        Ok(Self::of(Arc::new(store), Some(clock), (None, Some(folder))))
    }

    pub(super) async fn valkey() -> anyhow::Result<Self> {
        let valkey = Valkey::start().await?;
        let store = ValkeyStore::connect(config(valkey.url(), LONG_DEADLINE)).await?;
        Ok(Self::of(Arc::new(store), None, (Some(valkey), None)))
    }

    pub(super) fn of(
        store: Arc<dyn Store>,
        clock: Option<Arc<HandClock>>,
        parts: (Option<Valkey>, Option<TempDir>),
    ) -> Self {
        Self {
            store,
            clock,
            keys: AtomicUsize::new(0),
            _parts: parts,
        }
    }

    /// A key that no other behaviour uses, so that all behaviours can run on one store.
    pub(super) fn key(&self) -> Key {
        Key::new("test", &self.keys.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A kind that no other behaviour uses.
    pub(super) fn kind(&self) -> String {
        format!("kind{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Advances a manual clock by `span`. With a real clock the tests wait for the effect instead.
    pub(super) fn pass(&self, span: Duration) {
        if let Some(clock) = &self.clock {
            clock.advance(span);
        }
    }
}

/// A standalone Valkey without a password.
pub(super) fn config(url: String, deadline: Duration) -> ValkeyConfig {
    ValkeyConfig {
        url,
        username: None,
        password: None,
        key_prefix: "tokenward:".to_owned(),
        deadline,
        topology: Topology::Standalone,
    }
}
