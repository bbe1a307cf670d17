//! The first page: replicas, issuers and store. Each part fails for itself: the page is for the time of an outage too.

use std::time::{Duration, Instant};

use super::replicas::ReplicaState;
use crate::activity::Event;
use crate::app::Service;

/// The store as this replica sees it.
#[derive(Debug)]
pub(crate) struct StoreState {
    /// `embedded` or `valkey`.
    pub(crate) engine: &'static str,
    /// How long it took to answer now.
    pub(crate) latency: Duration,
    /// Why it is not ready; `None`: it answers and accepts writes.
    pub(crate) problem: Option<String>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Overview {
    /// The store.
    pub(crate) store: StoreState,
    /// Every replica; only this one where the store does not answer.
    pub(crate) replicas: Vec<ReplicaState>,
    /// Whether the list of replicas could be read.
    pub(crate) knows_others: bool,
    /// The refusals that began last; `None`: the store does not answer.
    pub(crate) refusals: Option<Vec<Event>>,
    /// Unix ms.
    pub(crate) now_ms: u64,
}

impl Service {
    /// The overview.
    pub(crate) async fn console_overview(&self) -> Overview {
        let began = Instant::now();
        let problem = self.readiness.check().await.err().map(|why| why.cause);
        let latency = began.elapsed();
        let (others, refusals) = match &problem {
            None => (self.replicas().await.ok(), self.last_refusals().await.ok()),
            Some(_) => (None, None),
        };
        let knows_others = others.is_some();
        let mut replicas = others.unwrap_or_default();
        let own = self.replica_state();
        replicas.retain(|replica| replica.name != own.name);
        replicas.insert(0, own);
        Overview {
            store: StoreState {
                engine: self.context.store.engine(),
                latency,
                problem,
            },
            replicas,
            knows_others,
            refusals,
            now_ms: self.context.clock.now_ms(),
        }
    }
}
