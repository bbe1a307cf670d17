//! Checks of the store: availability, latency, writes, and whether the sealing keys unseal what it contains.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::relay;
use super::report::Check;
use crate::app::{self, StartError};
use crate::clock::SystemClock;
use crate::config::{Config, StoreEngine};
use crate::store::embedded::{EmbeddedStore, OpenError};
use crate::store::valkey::ConnectError;
use crate::store::{Key, Store, StoreError, self_test};
use crate::upstream::issuer::keys;

/// Number of latency measurements.
const PINGS: usize = 5;

pub(super) async fn store(config: &Config) -> Vec<Check> {
    if let StoreEngine::Embedded { path } = &config.store.engine
        && !path.exists()
    {
        return vec![new_file(path)];
    }
    match app::try_store(&config.store, Arc::new(SystemClock)).await {
        Ok(store) => {
            let mut checks = vec![operations(&store, config).await, sealing(&store, config).await];
            checks.extend(relay::bypasses(&store, config).await);
            checks
        }
        Err(StartError::Embedded(error @ OpenError::AlreadyOpen { .. })) => vec![Check::warn(
            "store",
            error.to_string(),
            "nothing, if that is the tokenward that serves this configuration: query its /readyz",
        )],
        Err(StartError::Valkey(error @ ConnectError::Unreachable { hint, .. })) => {
            vec![Check::fail(
                "store",
                error.to_string(),
                format!("{hint}; until then callers get 503 store_unavailable"),
            )]
        }
        Err(error) => vec![Check::fail(
            "store",
            error.to_string(),
            "control will not start with it",
        )],
    }
}

/// The doctor creates no file.
fn new_file(path: &Path) -> Check {
    match EmbeddedStore::check(path) {
        Ok(()) => Check::ok(
            "store",
            format!("{} will be created at the first start", path.display()),
        ),
        Err(error) => Check::fail(
            "store",
            error.to_string(),
            "create the folder, writable for the service's user",
        ),
    }
}

/// Measures the latency, and tries control's store operations on keys of its own, which it removes.
async fn operations(store: &Arc<dyn Store>, config: &Config) -> Check {
    let name = format!("store ({})", store.engine());
    let tried = async {
        let median = median_ping(store).await?;
        self_test::run(store.as_ref()).await?;
        let lineage = store.lineage(&Key::new("trial", "")).await?;
        Ok((median, lineage, self_test::streams(store.as_ref()).await))
    };
    let (median, lineage, streams) = match tried.await {
        Ok(tried) => tried,
        Err(error) => return failed(name, &error),
    };
    let finding = format!(
        "answers in {:.1} ms (median of {PINGS}) and takes writes",
        median.as_secs_f64() * 1e3
    );
    if lineage.is_none() {
        Check::warn(
            name,
            format!("{finding}, but its user may not run INFO"),
            "give the user the ACL of docs/configuration.md (\"Valkey's ACL\"): without INFO the users of a strict issuer log in \
             again after every restart of Valkey",
        )
    } else if let Err(error) = streams {
        Check::warn(
            name,
            format!("{finding}, but activity cannot be recorded: {}", error.cause()),
            error.hint(),
        )
    } else if median * 4 > config.store.deadline {
        Check::warn(
            name,
            finding,
            "every request reads the store: bring it nearer, or lengthen store.deadline",
        )
    } else {
        Check::ok(name, finding)
    }
}

fn failed(name: String, error: &StoreError) -> Check {
    Check::fail(name, format!("{}: {error}", error.cause()), error.hint())
}

async fn median_ping(store: &Arc<dyn Store>) -> Result<Duration, StoreError> {
    let mut took = Vec::new();
    for _ in 0..PINGS {
        let started = Instant::now();
        store.ping().await?;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    Ok(took.get(PINGS / 2).copied().unwrap_or_default())
}

/// Unseals the issuers' keys: the only records whose store keys are known without a login.
async fn sealing(store: &Arc<dyn Store>, config: &Config) -> Check {
    const NAME: &str = "store: sealed records";
    let ring = match app::key_ring(&config.sealing) {
        Ok(ring) => ring,
        Err(error) => return Check::fail(NAME, error.to_string(), "openssl rand -base64 32"),
    };
    let mut unsealed = 0;
    for issuer in &config.issuers {
        let key = keys::record_of(&issuer.issuer);
        match store.read(&key).await {
            Ok(Some(entry)) if ring.open(key.as_str(), &entry.value).is_ok() => unsealed += 1,
            Ok(Some(_)) => {
                return Check::fail(
                    NAME,
                    "a record in the store was sealed with another key",
                    "put the key that was current before under sealing.previous",
                );
            }
            Ok(None) => {}
            Err(error) => return Check::fail(NAME, error.to_string(), "check the store"),
        }
    }
    if unsealed == 0 {
        Check::ok(NAME, "no sealed record exists yet")
    } else {
        Check::ok(NAME, format!("{unsealed} tried; the sealing keys unseal them"))
    }
}
