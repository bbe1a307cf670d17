//! A limit on the bytes of all requests in progress, over all connections.
//!
//! A request is admitted with its head, grows with its body, and releases everything at its end. Callers without a
//! credential share one eighth of the limit, so that they cannot displace authenticated callers. When that share is used
//! up, a new request evicts the oldest one that waits for its client (for the rest of its body, or to accept its response):
//! a client that sends its body at once is never the oldest for long. An evicted request holds its memory until its task
//! has run; the bytes of evicted requests have a limit too, of the same size as that share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::observe::metrics::Metrics;

/// Cost of a request beside its bytes: its task, its stream, its decoded form.
pub const REQUEST_BYTES: usize = 8 * 1024;
/// Callers without a credential share the limit divided by this.
pub(crate) const UNKNOWN_SHARE: usize = 8;

/// Whether the caller has presented a valid credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// No credential, a wrong one, or none so far.
    Unknown,
    /// The filter's credential or the aggregator's.
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

/// Accounts for the bytes of all requests of one process.
#[derive(Debug)]
pub(crate) struct Budget {
    state: Mutex<State>,
    /// In the order of [`Caller::ALL`].
    gauges: [Gauge; 2],
}

#[derive(Debug, Default)]
struct State {
    unknown_bytes: usize,
    known_bytes: usize,
    /// Held by requests that were evicted and have not ended yet.
    evicted_bytes: usize,
    next_id: u64,
    /// By age.
    requests: BTreeMap<u64, RequestEntry>,
}

#[derive(Debug)]
struct RequestEntry {
    caller: Caller,
    bytes: usize,
    evicted: bool,
    /// Set while the request waits for its client; notified when the request is evicted.
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
            .saturating_add(self.evicted_bytes);
        let in_share =
            caller == Caller::Known || self.unknown_bytes.saturating_add(more) <= limit / UNKNOWN_SHARE;
        in_share && total.saturating_add(more) <= limit
    }

    /// Evicts the oldest request without a credential that waits for its client and is older than request `id`.
    fn evict_before(&mut self, id: u64, limit: usize) -> bool {
        let oldest = self.requests.range_mut(..id).find_map(|(_, entry)| {
            let is_candidate = entry.caller == Caller::Unknown && !entry.evicted;
            let waiting = entry.waiting.clone().filter(|_| is_candidate)?;
            Some((entry, waiting))
        });
        let Some((entry, waiting)) = oldest else {
            return false;
        };
        if self.evicted_bytes.saturating_add(entry.bytes) > limit / UNKNOWN_SHARE {
            return false;
        }
        entry.evicted = true;
        self.unknown_bytes -= entry.bytes;
        self.evicted_bytes += entry.bytes;
        waiting.notify_one();
        true
    }

    fn remove(&mut self, id: u64) {
        if let Some(entry) = self.requests.remove(&id) {
            let bytes = if entry.evicted {
                &mut self.evicted_bytes
            } else {
                self.bytes_of(entry.caller)
            };
            *bytes = bytes.saturating_sub(entry.bytes);
        }
    }

    /// Reserves `more` bytes for request `id`, evicting other requests if necessary; `false` if that is not enough.
    fn reserve(&mut self, id: u64, caller: Caller, more: usize, limit: usize) -> bool {
        while !self.fits(caller, more, limit) {
            // A known caller takes precedence over all others, an unknown one only over earlier requests.
            let before = match caller {
                Caller::Known => u64::MAX,
                Caller::Unknown => id,
            };
            if !self.evict_before(before, limit) {
                return false;
            }
        }
        *self.bytes_of(caller) += more;
        true
    }
}

impl Budget {
    /// An empty budget, which publishes the bytes in use to `metrics`.
    #[must_use]
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            state: Mutex::default(),
            gauges: Caller::ALL.map(|caller| metrics.intake_bytes_of(caller.name())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies `change` and publishes the new totals.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        for (caller, gauge) in Caller::ALL.into_iter().zip(&self.gauges) {
            let evicted = match caller {
                Caller::Unknown => state.evicted_bytes,
                Caller::Known => 0,
            };
            let bytes = *state.bytes_of(caller) + evicted;
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        result
    }

    /// Admits a request with a head of `head_bytes` if all requests together stay within `limit_bytes`.
    pub(crate) fn admit(
        self: &Arc<Self>,
        caller: Caller,
        head_bytes: usize,
        limit_bytes: usize,
    ) -> Option<Admission> {
        let bytes = head_bytes.saturating_add(REQUEST_BYTES);
        self.update(|state| {
            let id = state.next_id;
            state.next_id += 1;
            if !state.reserve(id, caller, bytes, limit_bytes) {
                return None;
            }
            let entry = RequestEntry {
                caller,
                bytes,
                evicted: false,
                waiting: None,
            };
            state.requests.insert(id, entry);
            Some(Admission(Arc::new(Reservation {
                budget: Arc::clone(self),
                id,
                limit_bytes,
                eviction: Arc::default(),
            })))
        })
    }
}

/// An admitted request; the last clone releases its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Reservation>);

#[derive(Debug)]
struct Reservation {
    budget: Arc<Budget>,
    id: u64,
    limit_bytes: usize,
    eviction: Arc<Notify>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.update(|state| state.remove(self.id));
    }
}

/// The budget has no room for more of this request, or the request was evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("requests in progress hold as many bytes as intake.bytes allows")]
pub(crate) struct NoRoom;

impl Admission {
    /// Accounts for `more` bytes of the body.
    ///
    /// # Errors
    /// [`NoRoom`]; the caller must stop reading the body.
    pub(crate) fn grow(&self, more: usize) -> Result<(), NoRoom> {
        let Reservation {
            budget,
            id,
            limit_bytes,
            ..
        } = &*self.0;
        budget.update(|state| {
            let entry = state.requests.get(id);
            let caller = entry.filter(|entry| !entry.evicted).ok_or(NoRoom)?.caller;
            if !state.reserve(*id, caller, more, *limit_bytes) {
                return Err(NoRoom);
            }
            if let Some(entry) = state.requests.get_mut(id) {
                entry.bytes += more;
            }
            Ok(())
        })
    }

    /// Starts to wait for the body: from now on the request can be evicted, which completes [`Self::evicted`].
    pub(crate) fn body_expected(&self) {
        self.set_waiting(Some(Arc::clone(&self.0.eviction)));
    }

    /// Marks the request as waiting for its client, and `eviction` as what to notify when it is evicted; with `None`, as
    /// being handled by control, which rules eviction out.
    pub(crate) fn set_waiting(&self, eviction: Option<Arc<Notify>>) {
        if let Some(entry) = self.0.budget.state().requests.get_mut(&self.0.id) {
            entry.waiting = eviction;
        }
    }

    /// Completes when the request is evicted.
    pub(crate) async fn evicted(&self) {
        self.0.eviction.notified().await;
    }

    /// Counts the request as a known caller's: it has presented a credential in its body.
    pub(crate) fn set_known(&self) {
        let Reservation { budget, id, .. } = &*self.0;
        budget.update(|state| {
            let entry = state.requests.get_mut(id);
            let Some(entry) = entry.filter(|entry| !entry.evicted) else {
                return;
            };
            let (before, bytes) = (entry.caller, entry.bytes);
            entry.caller = Caller::Known;
            *state.bytes_of(before) -= bytes;
            *state.bytes_of(Caller::Known) += bytes;
        });
    }
}

#[cfg(test)]
mod tests;
