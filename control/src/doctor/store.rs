//! The store: whether it answers, how fast, whether it takes writes, and whether the sealing key fits what is in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::report::Check;
use crate::app::{self, StartError};
use crate::clock::SystemClock;
use crate::config::{Config, StoreEngine};
use crate::store::embedded::{EmbeddedStore, OpenError};
use crate::store::valkey::ConnectError;
use crate::store::{Key, Store, StoreError, self_test};
use crate::upstream::issuer::keys;

/// How often it is asked for its latency.
const PINGS: usize = 5;

pub(super) async fn store(config: &Config) -> Vec<Check> {
    if let StoreEngine::Embedded { path } = &config.store.engine
        && !path.exists()
    {
        return vec![new_file(path)];
    }
    match app::try_store(&config.store, Arc::new(SystemClock)).await {
        Ok(store) => vec![work(&store, config).await, sealing(&store, config).await],
        Err(StartError::Embedded(error @ OpenError::AlreadyOpen { .. })) => vec![Check::warn(
            "store",
            error.to_string(),
            "nothing, if that is the tokenward that serves this configuration: ask its /readyz",
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

/// The doctor makes no file.
fn new_file(path: &Path) -> Check {
    match EmbeddedStore::check(path) {
        Ok(()) => Check::ok(
            "store",
            format!("{} will be made at the first start", path.display()),
        ),
        Err(error) => Check::fail(
            "store",
            error.to_string(),
            "make the folder, writable for the service's user",
        ),
    }
}

/// Asks how fast it answers, and tries what control does all day, on keys of its own, which it removes.
async fn work(store: &Arc<dyn Store>, config: &Config) -> Check {
    let name = format!("store ({})", store.engine());
    let tried = async {
        let median = median_ping(store).await?;
        self_test::run(store.as_ref()).await?;
        Ok((median, store.lineage(&Key::new("trial", "")).await?))
    };
    let (median, lineage) = match tried.await {
        Ok(tried) => tried,
        Err(error) => return failed(name, &error),
    };
    let says = format!(
        "answers in {:.1} ms (median of {PINGS}) and takes writes",
        median.as_secs_f64() * 1e3
    );
    if lineage.is_none() {
        Check::warn(
            name,
            format!("{says}, but its user may not run INFO"),
            "give the user the ACL of docs/install.md (\"Valkey's ACL\"): without INFO the users of a strict issuer log in \
             again after every restart of Valkey",
        )
    } else if median * 4 > config.store.deadline {
        Check::warn(
            name,
            says,
            "every request reads the store: bring it nearer, or lengthen store.deadline",
        )
    } else {
        Check::ok(name, says)
    }
}

fn failed(name: String, error: &StoreError) -> Check {
    Check::fail(name, format!("{}: {error}", error.cause()), error.hint())
}

async fn median_ping(store: &Arc<dyn Store>) -> Result<Duration, StoreError> {
    let mut took = Vec::new();
    for _ in 0..PINGS {
        let asked = Instant::now();
        store.ping().await?;
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    Ok(took.get(PINGS / 2).copied().unwrap_or_default())
}

/// The issuers' keys are the records whose names are known without a login.
async fn sealing(store: &Arc<dyn Store>, config: &Config) -> Check {
    const NAME: &str = "store: sealed records";
    let ring = match app::key_ring(&config.sealing) {
        Ok(ring) => ring,
        Err(error) => return Check::fail(NAME, error.to_string(), "openssl rand -base64 32"),
    };
    let mut opened = 0;
    for issuer in &config.issuers {
        let key = keys::record_of(&issuer.issuer);
        match store.read(&key).await {
            Ok(Some(entry)) if ring.open(key.as_str(), &entry.value).is_ok() => opened += 1,
            Ok(Some(_)) => {
                return Check::fail(
                    NAME,
                    "what is in the store was sealed with another key",
                    "put the key that was current before under sealing.previous",
                );
            }
            Ok(None) => {}
            Err(error) => return Check::fail(NAME, error.to_string(), "check the store"),
        }
    }
    if opened == 0 {
        Check::ok(NAME, "nothing is kept yet that could be tried")
    } else {
        Check::ok(NAME, format!("{opened} tried, the sealing keys open them"))
    }
}
