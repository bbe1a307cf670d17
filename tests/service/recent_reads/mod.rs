//! What was read from a Valkey a moment ago is handed out again without a read, and never after its change is acknowledged,
//! whatever happens to the connection (ADR 45).

mod handed_out;
mod lost_sight;
mod sign_outs;
mod unreported;

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_control::store::{Expected, Key, Store};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::deployment::valkey_config;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The default of `store.deadline`.
const LIFETIME: Option<Duration> = Some(Duration::from_secs(3600));

fn grant(name: &str) -> Key {
    Key::new("grant", name)
}

async fn store_at(url: String) -> anyhow::Result<Arc<dyn Store>> {
    Ok(Arc::new(ValkeyStore::connect(valkey_config(url)).await?))
}

async fn without_holding(url: String) -> anyhow::Result<Arc<dyn Store>> {
    let config = ValkeyConfig {
        client_side_caching: false,
        ..valkey_config(url)
    };
    Ok(Arc::new(ValkeyStore::connect(config).await?))
}

async fn write(store: &dyn Store, name: &str, value: &[u8]) -> anyhow::Result<()> {
    store.write(&grant(name), Expected::Any, value, LIFETIME).await?;
    Ok(())
}

/// What the store holds of a recent read.
fn recent(store: &dyn Store, name: &str) -> Option<Vec<u8>> {
    let recent = store.recent(&grant(name))?;
    recent.entry().map(|entry| entry.value.clone())
}

/// Reads until the value is held: the machine may have stood still between a read and the look at it.
async fn hold(store: &dyn Store, name: &str) -> anyhow::Result<Vec<u8>> {
    let limit = Instant::now() + PATIENCE;
    loop {
        store.read_and_hold(&grant(name)).await?;
        if let Some(value) = recent(store, name) {
            return Ok(value);
        }
        anyhow::ensure!(Instant::now() < limit, "nothing is held");
    }
}

/// Reads another key of the same store again and again, so that its connection is always known to be alive. Ends on drop.
struct Busy(JoinHandle<()>);

impl Busy {
    fn on(store: &Arc<dyn Store>) -> Self {
        let store = Arc::clone(store);
        Self(tokio::spawn(async move {
            while store.read(&grant("another")).await.is_ok() {
                sleep(Duration::from_millis(1)).await;
            }
        }))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.abort();
    }
}
