//! One bound on the bytes of all requests that control holds, over all connections.
//!
//! A request is admitted with its head, grows with its body, and gives everything back at its end. Callers without a
//! credential share one eighth of the bound, so that they cannot keep out those that show one. When that share is used
//! up, the oldest request that waits for its client (for the rest of its body, or to take its answer) is pushed out in
//! favour of the new one: a client that sends its body at once is never the oldest for long. What is pushed out still
//! holds its memory until its task has run, and that too is bounded: by as much again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::observe::metrics::Metrics;

/// What a request costs beside its bytes: its task, its stream, its decoded form.
pub const REQUEST_BYTES: usize = 8 * 1024;
/// Callers without a credential share the bound divided by this.
pub const UNKNOWN_SHARE: usize = 8;

/// Whether the caller has shown a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Not, or a wrong one, or not yet.
    Unknown,
    /// The filter's or the aggregator's.
    Known,
}

impl Caller {
    const ALL: [Self; 2] = [Self::Unknown, Self::Known];

    const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Known => "known",
        }
    }
}

/// The bytes of all requests of one process.
#[derive(Debug)]
pub struct Budget {
    state: Mutex<State>,
    /// In the order of [`Caller::ALL`].
    gauges: [Gauge; 2],
}

#[derive(Debug, Default)]
struct State {
    unknown_bytes: usize,
    known_bytes: usize,
    /// Of requests that were pushed out and have not ended yet.
    leaving_bytes: usize,
    next_id: u64,
    /// By age.
    requests: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    caller: Caller,
    bytes: usize,
    /// It was pushed out.
    leaving: bool,
    /// Set while it is the client's turn: what tells the request that it is pushed out.
    waiting: Option<Arc<Notify>>,
}

impl State {
    fn bytes_of(&mut self, caller: Caller) -> &mut usize {
        match caller {
            Caller::Unknown => &mut self.unknown_bytes,
            Caller::Known => &mut self.known_bytes,
        }
    }

    fn fits(&self, caller: Caller, more: usize, limit: usize) -> bool {
        let total = self
            .unknown_bytes
            .saturating_add(self.known_bytes)
            .saturating_add(self.leaving_bytes);
        let in_share =
            caller == Caller::Known || self.unknown_bytes.saturating_add(more) <= limit / UNKNOWN_SHARE;
        in_share && total.saturating_add(more) <= limit
    }

    /// Pushes the oldest request without a credential out that waits for its client, if it is older than the request `id`.
    fn push_out_before(&mut self, id: u64, limit: usize) -> bool {
        let oldest = self.requests.range_mut(..id).find_map(|(_, held)| {
            let is_unknown = held.caller == Caller::Unknown && !held.leaving;
            let waiting = held.waiting.clone().filter(|_| is_unknown)?;
            Some((held, waiting))
        });
        let Some((held, waiting)) = oldest else {
            return false;
        };
        if self.leaving_bytes.saturating_add(held.bytes) > limit / UNKNOWN_SHARE {
            return false;
        }
        held.leaving = true;
        self.unknown_bytes -= held.bytes;
        self.leaving_bytes += held.bytes;
        waiting.notify_one();
        true
    }

    fn remove(&mut self, id: u64) {
        if let Some(held) = self.requests.remove(&id) {
            let bytes = if held.leaving {
                &mut self.leaving_bytes
            } else {
                self.bytes_of(held.caller)
            };
            *bytes = bytes.saturating_sub(held.bytes);
        }
    }

    /// Makes room for `more` bytes of the request `id`, at the cost of other requests if it must.
    fn make_room(&mut self, id: u64, caller: Caller, more: usize, limit: usize) -> bool {
        while !self.fits(caller, more, limit) {
            // A known caller goes before all others, a caller without a credential only before those that came earlier.
            let before = match caller {
                Caller::Known => u64::MAX,
                Caller::Unknown => id,
            };
            if !self.push_out_before(before, limit) {
                return false;
            }
        }
        *self.bytes_of(caller) += more;
        true
    }
}

impl Budget {
    /// An empty one; `metrics` show how much is held.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            state: Mutex::default(),
            gauges: Caller::ALL.map(|caller| metrics.intake_bytes_of(caller.name())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the account and publishes what came of it.
    fn changed<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        for (caller, gauge) in Caller::ALL.into_iter().zip(&self.gauges) {
            let leaving = match caller {
                Caller::Unknown => state.leaving_bytes,
                Caller::Known => 0,
            };
            let bytes = *state.bytes_of(caller) + leaving;
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        result
    }

    /// Admits a request whose head takes `head_bytes`, where all together may take `limit_bytes`; `None` when there is no room.
    pub fn admit(
        self: &Arc<Self>,
        caller: Caller,
        head_bytes: usize,
        limit_bytes: usize,
    ) -> Option<Admission> {
        let bytes = head_bytes.saturating_add(REQUEST_BYTES);
        self.changed(|state| {
            let id = state.next_id;
            state.next_id += 1;
            if !state.make_room(id, caller, bytes, limit_bytes) {
                return None;
            }
            let held = Held {
                caller,
                bytes,
                leaving: false,
                waiting: None,
            };
            state.requests.insert(id, held);
            Some(Admission(Arc::new(Place {
                budget: Arc::clone(self),
                id,
                limit_bytes,
                pushed_out: Arc::default(),
            })))
        })
    }

    /// What requests of `caller` hold now that were not pushed out, in bytes.
    #[must_use]
    pub fn held_bytes(&self, caller: Caller) -> usize {
        *self.state().bytes_of(caller)
    }

    /// What requests hold that were pushed out and have not ended yet, in bytes.
    #[must_use]
    pub fn leaving_bytes(&self) -> usize {
        self.state().leaving_bytes
    }
}

/// A request's bytes on the account; the last clone gives them back.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Place>);

#[derive(Debug)]
struct Place {
    budget: Arc<Budget>,
    id: u64,
    limit_bytes: usize,
    pushed_out: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.budget.changed(|state| state.remove(self.id));
    }
}

/// There is no room for more of this request, or it has been pushed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as much is being read as intake.bytes allows")]
pub struct NoRoom;

impl Admission {
    /// Accounts for `more` bytes of the body.
    ///
    /// # Errors
    /// [`NoRoom`]; nothing more may be read then.
    pub fn grow(&self, more: usize) -> Result<(), NoRoom> {
        let place = &self.0;
        place.budget.changed(|state| {
            let held = state.requests.get(&place.id);
            let caller = held.filter(|held| !held.leaving).ok_or(NoRoom)?.caller;
            if !state.make_room(place.id, caller, more, place.limit_bytes) {
                return Err(NoRoom);
            }
            if let Some(held) = state.requests.get_mut(&place.id) {
                held.bytes += more;
            }
            Ok(())
        })
    }

    /// The body begins to arrive: [`Self::pushed_out`] is ready when the request has been pushed out.
    pub fn arriving(&self) {
        self.waits_for_client(Some(Arc::clone(&self.0.pushed_out)));
    }

    /// From now on it is the client's turn, and `pushed_out` is notified when the request has been pushed out; or it is
    /// control's.
    pub fn waits_for_client(&self, pushed_out: Option<Arc<Notify>>) {
        let place = &self.0;
        if let Some(held) = place.budget.state().requests.get_mut(&place.id) {
            held.waiting = pushed_out;
        }
    }

    /// Ready when the request has been pushed out.
    pub async fn pushed_out(&self) {
        self.0.pushed_out.notified().await;
    }

    /// The caller has shown a credential, in its body.
    pub fn is_known(&self) {
        let place = &self.0;
        place.budget.changed(|state| {
            let held = state.requests.get_mut(&place.id);
            let Some(held) = held.filter(|held| !held.leaving) else {
                return;
            };
            let (before, bytes) = (held.caller, held.bytes);
            held.caller = Caller::Known;
            *state.bytes_of(before) -= bytes;
            *state.bytes_of(Caller::Known) += bytes;
        });
    }
}
