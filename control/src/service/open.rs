//! Opening the configured store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::StartError;
use crate::clock::Clock;
use crate::config::{StoreConfig, StoreEngine, ValkeyServers};
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::valkey::{ConnectError, Topology, ValkeyConfig, ValkeyStore};

/// How long a Valkey that is not there yet is waited for at the start.
const VALKEY_PATIENCE: Duration = Duration::from_secs(60);

/// Opens the configured store. A Valkey that cannot be reached is tried again for a minute: at a start of
/// everything at once it often comes last.
///
/// # Errors
/// [`StartError`].
pub async fn open_store(config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StartError> {
    open_within(config, clock, VALKEY_PATIENCE).await
}

/// The same, tried once.
///
/// # Errors
/// [`StartError`].
pub async fn try_store(config: &StoreConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StartError> {
    open_within(config, clock, Duration::ZERO).await
}

async fn open_within(
    config: &StoreConfig,
    clock: Arc<dyn Clock>,
    patience: Duration,
) -> Result<Arc<dyn Store>, StartError> {
    match &config.engine {
        StoreEngine::Embedded { path } => {
            let store = Arc::new(EmbeddedStore::open(path, config.deadline, clock).await?);
            sweep_now_and_then(&store);
            Ok(store)
        }
        StoreEngine::Valkey {
            url,
            username,
            password,
            key_prefix,
            servers,
        } => {
            let valkey = ValkeyConfig {
                url: url.clone(),
                username: username.clone(),
                password: password.clone(),
                key_prefix: key_prefix.clone(),
                deadline: config.deadline,
                topology: topology(servers),
            };
            Ok(Arc::new(connected(valkey, patience).await?))
        }
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

async fn connected(config: ValkeyConfig, patience: Duration) -> Result<ValkeyStore, ConnectError> {
    let until = Instant::now() + patience;
    loop {
        match ValkeyStore::connect(config.clone()).await {
            Err(error) if error.is_retryable() && Instant::now() < until => {
                tracing::warn!(%error, "Valkey is not there yet");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            answer => return answer,
        }
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
