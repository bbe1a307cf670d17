//! A bounded pool of connection slots. When all slots are taken, a new connection evicts the one with the lowest
//! [`EvictionRank`](super::progress::EvictionRank): first those that never had a request answered, then those that never
//! presented a credential, longest idle first. A connection with an authenticated request in progress is never evicted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::progress::ConnectionProgress;
use crate::observe::metrics::Metrics;

/// The slots of one pool.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    taken: Mutex<TakenSlots>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct TakenSlots {
    next_id: u64,
    by_id: HashMap<u64, Arc<ConnectionProgress>>,
}

impl TakenSlots {
    /// Frees the slot of the connection with the lowest rank; `false` if no connection can be evicted.
    fn evict_one(&mut self) -> bool {
        let candidates = self
            .by_id
            .iter()
            .filter_map(|(id, progress)| Some((progress.eviction_rank()?, *id)));
        let Some((_, id)) = candidates.min() else {
            return false;
        };
        if let Some(progress) = self.by_id.remove(&id) {
            progress.eviction().notify_one();
        }
        true
    }
}

impl ConnectionSlots {
    pub(super) fn new(metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            metrics,
        })
    }

    fn taken(&self) -> MutexGuard<'_, TakenSlots> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of `limit` slots for the connection of `progress`, evicting other connections if necessary; `None` if no
    /// connection can be evicted.
    pub(super) fn take(
        self: &Arc<Self>,
        progress: &Arc<ConnectionProgress>,
        limit: usize,
    ) -> Option<ConnectionSlot> {
        let mut taken = self.taken();
        while taken.by_id.len() >= limit {
            if !taken.evict_one() {
                return None;
            }
        }
        let id = taken.next_id;
        taken.next_id += 1;
        taken.by_id.insert(id, Arc::clone(progress));
        drop(taken);
        self.metrics.connections.inc();
        Some(ConnectionSlot {
            slots: Arc::clone(self),
            id,
        })
    }
}

/// A connection's slot, freed on drop unless eviction has freed it before. The gauge `tokenward_connections` counts an
/// evicted connection until it has closed.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    id: u64,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.taken().by_id.remove(&self.id);
        self.slots.metrics.connections.dec();
    }
}
