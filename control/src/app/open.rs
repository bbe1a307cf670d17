//! Opens the configured store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::clock::Clock;
use crate::config::{StoreConfig, StoreEngine, ValkeyServers};
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::valkey::{Topology, ValkeyConfig, ValkeyStore};

/// Opens the configured store. An unreachable Valkey does not delay the start: requests get 503 and `/readyz` reports
/// it until Valkey answers. If the process exited instead, an orchestrator would back off between restarts, and control
/// would stay down for minutes after Valkey is back.
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

/// [`open_store`], which fails if Valkey does not answer.
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

/// Checks as much of [`open_store`] as needs no connection and changes nothing, and fails as [`open_store`] would.
/// Blocking.
///
/// # Errors
/// [`StartError`].
pub fn check_store(config: &StoreConfig) -> Result<(), StartError> {
    match engine_config(config) {
        EngineConfig::File(path) => Ok(EmbeddedStore::check(path)?),
        EngineConfig::Valkey(valkey) => Ok(ValkeyStore::check(&valkey)?),
    }
}

async fn engine(config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<Engine, StartError> {
    match engine_config(config) {
        EngineConfig::File(path) => {
            let store = Arc::new(EmbeddedStore::open(path, config.deadline, clock).await?);
            spawn_sweeper(&store);
            Ok(Engine::Embedded(store))
        }
        EngineConfig::Valkey(valkey) => Ok(Engine::Valkey(Arc::new(ValkeyStore::open(*valkey)?))),
    }
}

/// The settings that each engine opens with.
enum EngineConfig<'a> {
    File(&'a Path),
    Valkey(Box<ValkeyConfig>),
}

fn engine_config(config: &StoreConfig) -> EngineConfig<'_> {
    match &config.engine {
        StoreEngine::Embedded { path } => EngineConfig::File(path),
        StoreEngine::Valkey {
            url,
            username,
            password,
            key_prefix,
            servers,
            client_side_caching,
        } => EngineConfig::Valkey(Box::new(ValkeyConfig {
            url: url.clone(),
            username: username.clone(),
            password: password.clone(),
            key_prefix: key_prefix.clone(),
            deadline: config.deadline,
            topology: topology(servers),
            client_side_caching: *client_side_caching,
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

/// Deletes expired records of the embedded store every five minutes: they read as absent at once but occupy the file.
fn spawn_sweeper(store: &Arc<EmbeddedStore>) {
    const INTERVAL: Duration = Duration::from_secs(300);
    let store = Arc::downgrade(store);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let Some(store) = store.upgrade() else { return };
            if let Err(error) = store.sweep().await {
                tracing::debug!(%error, "could not delete expired records");
            }
        }
    });
}
