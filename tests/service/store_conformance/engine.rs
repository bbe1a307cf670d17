//! An engine with all that it needs to live, and a way to let time pass in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokenward_control::clock::HandClock;
use tokenward_control::store::embedded::EmbeddedStore;
use tokenward_control::store::valkey::{Topology, ValkeyConfig, ValkeyStore};
use tokenward_control::store::{Key, Store};
use tokenward_harness::parts::Valkey;

/// Never met by an operation that is answered, however busy the machine is.
pub(super) const LONG_DEADLINE: Duration = Duration::from_secs(30);

/// A moment like any other, Unix milliseconds.
pub(super) const NOW_MS: u64 = 1_800_000_000_000;

/// One store engine under test.
pub(super) struct Engine {
    pub(super) store: Arc<dyn Store>,
    clock: Option<Arc<HandClock>>,
    keys: AtomicUsize,
    /// Held for their drop: the process and the folder that the store lives in.
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

    /// A key that no other behaviour uses, so that all of them can run on one store.
    pub(super) fn key(&self) -> Key {
        Key::new("test", &self.keys.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A kind that no other behaviour uses.
    pub(super) fn kind(&self) -> String {
        format!("kind{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets `span` pass where time is moved by hand. Where it passes by itself, what should come of it is awaited.
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
        client_side_caching: true,
    }
}
