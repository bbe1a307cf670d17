//! Places for connections. When all are taken, the connection that rests makes room for a new one: first those that never
//! got an answer, then those that never showed a credential, the longest-resting first. A connection whose caller has
//! shown a credential and waits for its answer keeps its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::pace::Pace;
use crate::observe::metrics::Metrics;

/// All places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    /// Connections that are not over yet, those that have lost their place included.
    open: watch::Sender<usize>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Taken {
    next_id: u64,
    by_id: HashMap<u64, Arc<Pace>>,
}

impl Taken {
    /// Takes the place from the connection that makes room most readily.
    fn push_out(&mut self) -> bool {
        let rests = self
            .by_id
            .iter()
            .filter_map(|(id, pace)| Some((pace.rest()?, *id)));
        let Some((_, id)) = rests.min() else {
            return false;
        };
        if let Some(pace) = self.by_id.remove(&id) {
            pace.leave().notify_one();
        }
        true
    }
}

impl Places {
    pub(super) fn new(metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            open: watch::Sender::new(0),
            metrics,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for the connection of `pace` among `most`, another one's if it must be; `None`: none makes room.
    pub(super) fn take(self: &Arc<Self>, pace: &Arc<Pace>, most: usize) -> Option<Place> {
        let mut taken = self.taken();
        while taken.by_id.len() >= most {
            if !taken.push_out() {
                return None;
            }
        }
        let id = taken.next_id;
        taken.next_id += 1;
        taken.by_id.insert(id, Arc::clone(pace));
        drop(taken);
        self.metrics.connections.inc();
        self.open.send_modify(|open| *open += 1);
        Some(Place {
            places: Arc::clone(self),
            id,
        })
    }

    /// Ready when no connection is open.
    pub(super) async fn all_over(&self) {
        let mut open = self.open.subscribe();
        // The sender is `self`.
        let _ = open.wait_for(|open| *open == 0).await;
    }
}

/// A connection's place; given back when the connection is over, unless another one has it already.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().by_id.remove(&self.id);
        self.places.metrics.connections.dec();
        self.places
            .open
            .send_modify(|open| *open = open.saturating_sub(1));
    }
}
