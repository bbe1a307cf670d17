//! Opening the configured store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::clock::Clock;
use crate::config::{StoreConfig, StoreEngine, ValkeyServers};
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::valkey::{Topology, ValkeyConfig, ValkeyStore};

/// Opens the configured store. A Valkey that cannot be reached does not hold up the start: requests get 503 and `/readyz`
/// says so until it can be. An orchestrator that restarted the process instead would wait longer each time, and keep it
/// away for minutes after Valkey is back.
///
/// # Errors
/// [`StartError`].
pub async fn open_store(config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StartError> {
    match engine(config, clock).await? {
        Engine::Embedded(store) => Ok(store),
        Engine::Valkey(store) => {
            if let Err(error) = store.connected().await {
                tracing::warn!(%error, hint = error.hint(), "starting without the store: requests get 503 until it answers");
            }
            Ok(store)
        }
    }
}

/// The same, but Valkey has to answer now.
///
/// # Errors
/// [`StartError`].
pub async fn try_store(config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StartError> {
    match engine(config, clock).await? {
        Engine::Embedded(store) => Ok(store),
        Engine::Valkey(store) => {
            store.connected().await?;
            Ok(store)
        }
    }
}

enum Engine {
    Embedded(Arc<EmbeddedStore>),
    Valkey(Arc<ValkeyStore>),
}

/// What of opening the configured store can be tried without asking it anything, and without leaving a trace: it fails as
/// [`open_store`] would. Blocking.
///
/// # Errors
/// [`StartError`].
pub fn check_store(config: &StoreConfig) -> Result<(), StartError> {
    match place(config) {
        Place::File(path) => Ok(EmbeddedStore::check(path)?),
        Place::Valkey(valkey) => Ok(ValkeyStore::check(&valkey)?),
    }
}

async fn engine(config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<Engine, StartError> {
    match place(config) {
        Place::File(path) => {
            let store = Arc::new(EmbeddedStore::open(path, config.deadline, clock).await?);
            sweep_now_and_then(&store);
            Ok(Engine::Embedded(store))
        }
        Place::Valkey(valkey) => Ok(Engine::Valkey(Arc::new(ValkeyStore::open(*valkey)?))),
    }
}

/// What the engines take.
enum Place<'a> {
    File(&'a Path),
    Valkey(Box<ValkeyConfig>),
}

fn place(config: &StoreConfig) -> Place<'_> {
    match &config.engine {
        StoreEngine::Embedded { path } => Place::File(path),
        StoreEngine::Valkey {
            url,
            username,
            password,
            key_prefix,
            servers,
        } => Place::Valkey(Box::new(ValkeyConfig {
            url: url.clone(),
            username: username.clone(),
            password: password.clone(),
            key_prefix: key_prefix.clone(),
            deadline: config.deadline,
            topology: topology(servers),
        })),
    }
}

fn topology(servers: &ValkeyServers) -> Topology {
    match servers.clone() {
        ValkeyServers::One => Topology::Standalone,
        ValkeyServers::Sentinel {
            service,
            more_sentinels,
            password,
        } => Topology::Sentinel {
            service,
            more_sentinels,
            sentinel_password: password,
        },
        ValkeyServers::Cluster { more_nodes } => Topology::Cluster { more_nodes },
    }
}

/// Expired records of the embedded store are absent at once, but take room until they are swept.
fn sweep_now_and_then(store: &Arc<EmbeddedStore>) {
    const EVERY: Duration = Duration::from_secs(300);
    let store = Arc::downgrade(store);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            let Some(store) = store.upgrade() else { return };
            if let Err(error) = store.sweep().await {
                tracing::debug!(%error, "expired records could not be swept");
            }
        }
    });
}
