//! What each replica publishes of itself, so that one page shows them all: version, filter module, issuers, store.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokenward_protocol::duration::whole_ms;

use crate::app::Service;
use crate::authorization::{random, stored};
use crate::digest;
use crate::store::{Expected, Key, StoreError};
use crate::upstream::issuer::limits::{CallOutcome, LimitsState};

/// How often a replica publishes.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// A replica that has not published for this long is gone.
const LIFETIME: Duration = Duration::from_secs(20);
/// Entries of gone replicas are removed when they are read; the set itself ends with the last replica.
const SET_LIFETIME: Duration = Duration::from_secs(3600);
/// Replicas on one page.
const MOST_REPLICAS: usize = 64;

/// One replica.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReplicaState {
    /// Host name and a random part.
    pub(crate) name: String,
    /// The version of control.
    pub(crate) version: String,
    /// When it published this, Unix ms.
    pub(crate) at_ms: u64,
    /// Version and SHA-256 of the filter module that it serves.
    pub(crate) filter: Option<(String, String)>,
    /// Its issuers.
    pub(crate) issuers: Vec<IssuerState>,
    /// Its last failed store operation: what, and how many seconds ago.
    pub(crate) store_failure: Option<(String, u64)>,
}

/// An issuer as one replica sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IssuerState {
    /// `iss`.
    pub(crate) issuer: String,
    /// Set while the circuit is open: why, and for how many more seconds.
    pub(crate) circuit: Option<(String, u64)>,
    /// Calls in flight.
    pub(crate) in_flight: usize,
    /// The most calls in flight, and calls per second. `None`: the replica is of an older version.
    #[serde(default)]
    pub(crate) limits: Option<(u32, u32)>,
    /// Calls that were not made since the circuit last opened.
    pub(crate) suspended_calls: u64,
    /// The last call that ended: `answered`, `failed` or `not_oauth`, and when, Unix ms.
    pub(crate) last_call: Option<(String, u64)>,
}

impl IssuerState {
    fn of(issuer: String, state: LimitsState) -> Self {
        let circuit = state.circuit.map(|throttled| {
            let seconds = whole_ms(throttled.retry_after).div_ceil(1000);
            (throttled.reason.to_owned(), seconds)
        });
        let last_call = state.last_call.map(|call| {
            let outcome = match call.outcome {
                CallOutcome::Answer => "answered",
                CallOutcome::Failure { .. } => "failed",
                CallOutcome::NotOauth { .. } => "not_oauth",
            };
            (outcome.to_owned(), call.at_ms)
        });
        Self {
            issuer,
            circuit,
            in_flight: state.in_flight,
            limits: Some((state.limits.concurrent_calls, state.limits.calls_per_second)),
            suspended_calls: state.suspended_calls,
            last_call,
        }
    }
}

/// The name of this process: its host's, and a random part that tells a restart apart.
pub(crate) fn own_name() -> String {
    const LONGEST: usize = 63;
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || "-.".contains(*letter);
    let host: String = host.chars().filter(plain).take(LONGEST).collect();
    let random = random::bytes::<4>().map_or_else(|_| "replica".to_owned(), |bytes| digest::hex(&bytes));
    if host.is_empty() {
        random
    } else {
        format!("{host}-{random}")
    }
}

fn all() -> Key {
    Key::new("console_replicas", "all")
}

fn record(name: &str) -> Key {
    Key::new("console_replica", name)
}

impl Service {
    /// This replica as it is now.
    pub(crate) fn replica_state(&self) -> ReplicaState {
        let states = self.limits.states().into_iter();
        let module = self.config.filter_module.as_ref();
        ReplicaState {
            name: self.replica_name.as_ref().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_ms: self.context.clock.now_ms(),
            filter: module.map(|module| {
                let version = module.version.clone().unwrap_or_else(|| "unknown".to_owned());
                (version, module.sha256.clone())
            }),
            issuers: states
                .map(|(issuer, state)| IssuerState::of(issuer, state))
                .collect(),
            store_failure: self.readiness.last_failure().map(|failure| {
                let what = format!("{}: {}", failure.operation, failure.cause);
                (what, failure.at.elapsed().as_secs())
            }),
        }
    }

    /// Publishes this replica.
    ///
    /// # Errors
    /// [`StoreError`]; the other replicas show it as gone until it succeeds again.
    pub(crate) async fn publish_replica(&self) -> Result<(), StoreError> {
        let key = record(&self.replica_name);
        let bytes = stored::to_bytes(&self.context.ring, &key, &self.replica_state())?;
        let store = &self.context.store;
        store.write(&key, Expected::Any, &bytes, Some(LIFETIME)).await?;
        store.add_member(&all(), &self.replica_name, SET_LIFETIME).await
    }

    /// All replicas that have published lately, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn replicas(&self) -> Result<Vec<ReplicaState>, StoreError> {
        let store = &self.context.store;
        let mut names = store.members(&all()).await?;
        names.sort_unstable();
        let mut replicas = Vec::new();
        for name in names.into_iter().take(MOST_REPLICAS) {
            let key = record(&name);
            match store.read(&key).await? {
                Some(entry) => {
                    // Another version's record is not shown.
                    let read = stored::from_bytes::<ReplicaState>(&self.context.ring, &key, &entry.value);
                    replicas.extend(read.ok());
                }
                None => store.remove_member(&all(), &name).await?,
            }
        }
        Ok(replicas)
    }
}
