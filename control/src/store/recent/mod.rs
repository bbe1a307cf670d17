//! What a store answered a moment ago, kept in memory as long as the store is known to report every change (ADR 45).
//!
//! The store pushes the name of each changed key on the connection that control reads through. An entry is used only while
//! - that connection stands, and it was read there;
//! - a command that was sent at most [`PROOF_LIFETIME`] ago has been answered there. Pushes and replies share one stream, so
//!   whatever was acknowledged to its writer before that command was sent has been seen;
//! - it was read at most [`ENTRY_LIFETIME`] ago. A key that expires is reported only when the server removes it.
//!
//! So a change that its writer acknowledges after waiting for [`PROOF_LIFETIME`] is used by no process any more. Nothing here
//! decides a write, a refresh or a refusal.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Entry;

#[cfg(test)]
mod tests;

/// How long the answer to a command proves that everything before that command was reported, from when it was sent.
pub const PROOF_LIFETIME: Duration = Duration::from_millis(50);
/// How long an entry is used at most, whatever the store reports or does not.
pub const ENTRY_LIFETIME: Duration = Duration::from_secs(1);
/// Bytes of all entries, as [`weight`] counts them.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Time between two searches for entries that are too old, while the young ones use all of [`MAX_BYTES`].
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// What an entry takes beside its key and its value: tables, pointers, and what is fixed in the decoded form.
const ENTRY_BYTES: usize = 1024;

/// What a value is decoded to.
type Decoded = Arc<dyn Any + Send + Sync>;

/// A value as it was read, and its decoded form once something needed it.
pub struct Recent {
    entry: Option<Entry>,
    decoded: OnceLock<Decoded>,
}

/// The decoded form has tokens.
impl fmt::Debug for Recent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.entry.as_ref().map(|entry| entry.revision);
        formatter.debug_tuple("Recent").field(&revision).finish()
    }
}

impl Recent {
    /// What was read; `None`: there was nothing.
    #[must_use]
    pub fn new(entry: Option<Entry>) -> Self {
        Self {
            entry,
            decoded: OnceLock::new(),
        }
    }

    /// What was read; `None`: there was nothing.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// The decoded form. `decode` runs once for all callers; they all decode to the same type.
    pub fn decoded<T: Send + Sync + 'static>(&self, decode: impl FnOnce(&Entry) -> T) -> Option<Arc<T>> {
        let entry = self.entry.as_ref()?;
        let decoded: &Decoded = self.decoded.get_or_init(|| Arc::new(decode(entry)) as Decoded);
        Arc::clone(decoded).downcast().ok()
    }
}

/// Bytes that an entry counts: its value as stored, decoded and opened.
fn weight(name: &str, recent: &Recent) -> usize {
    let value = recent.entry.as_ref().map_or(0, |entry| entry.value.len());
    name.len() * 2 + value * 3 + ENTRY_BYTES
}

/// Names one connection to the store. Later ones are larger.
pub type Generation = u64;

/// The entries of one store. All methods may be called concurrently and never wait for I/O.
#[derive(Default)]
pub struct RecentReads {
    state: Mutex<State>,
}

impl fmt::Debug for RecentReads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecentReads")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// The connection on which changes are reported now.
    connection: Option<Generation>,
    /// When the latest command that was answered on it was sent.
    proven_at: Option<Instant>,
    /// Entries in use, and reads in progress.
    slots: HashMap<String, Slot>,
    /// Bytes of the entries, not of reads in progress: those are requests in progress, which are bounded elsewhere.
    bytes: usize,
    swept_at: Option<Instant>,
    next_ticket: u64,
}

#[derive(Default)]
struct Slot {
    held: Option<Held>,
    /// The read in progress whose result may be held. A change removes the whole slot, and with it this right.
    reading: Option<u64>,
}

struct Held {
    recent: Arc<Recent>,
    read_at: Instant,
    bytes: usize,
}

impl RecentReads {
    /// From now on changes are reported on the connection `generation`, and reads go there.
    pub fn begin(&self, generation: Generation) {
        let mut state = self.state();
        state.clear();
        state.connection = Some(generation);
    }

    /// The connection `generation` is lost, or its server does not answer.
    pub fn end(&self, generation: Generation) {
        let mut state = self.state();
        if state.connection.is_some_and(|present| present <= generation) {
            state.clear();
            state.connection = None;
        }
    }

    /// The connection `generation` has answered a command that was sent at `sent_at`.
    pub fn proved(&self, generation: Generation, sent_at: Instant) {
        let mut state = self.state();
        if state.connection == Some(generation) {
            state.proven_at = state.proven_at.max(Some(sent_at));
        }
    }

    /// The key `name` has changed, or may have.
    pub fn changed(&self, name: &str) {
        self.state().remove(name);
    }

    /// Any key may have changed.
    pub fn all_changed(&self) {
        let mut state = self.state();
        (state.slots, state.bytes) = (HashMap::new(), 0);
    }

    /// The entry of `name`, if it may be used at `now`.
    #[must_use]
    pub fn get(&self, name: &str, now: Instant) -> Option<Arc<Recent>> {
        let state = self.state();
        let proven_at = state.proven_at?;
        if now.saturating_duration_since(proven_at) > PROOF_LIFETIME {
            return None;
        }
        let held = state.slots.get(name)?.held.as_ref()?;
        let is_young = now.saturating_duration_since(held.read_at) <= ENTRY_LIFETIME;
        is_young.then(|| Arc::clone(&held.recent))
    }

    /// Begins a read of `name` at `now`, before its command is sent. `None`: its result cannot be held.
    pub fn reading(self: &Arc<Self>, name: &str, now: Instant) -> Option<Reading> {
        let mut state = self.state();
        state.connection?;
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let slot = match state.slots.get_mut(name) {
            Some(slot) => slot,
            None => state.slots.entry(name.to_owned()).or_default(),
        };
        if slot.reading.is_some() {
            return None;
        }
        slot.reading = Some(ticket);
        drop(state);
        Some(Reading {
            of: Arc::clone(self),
            name: name.to_owned(),
            ticket,
            read_at: now,
        })
    }

    /// Removes entries that are too old to be used at `now`.
    pub fn sweep(&self, now: Instant) {
        self.state().drop_old(now);
    }

    /// Bytes of all entries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state().bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn clear(&mut self) {
        (self.slots, self.bytes, self.proven_at) = (HashMap::new(), 0, None);
    }

    fn remove(&mut self, name: &str) {
        if let Some(held) = self.slots.remove(name).and_then(|slot| slot.held) {
            self.bytes = self.bytes.saturating_sub(held.bytes);
        }
    }

    fn drop_old(&mut self, now: Instant) {
        self.swept_at = Some(now);
        let Self { slots, bytes, .. } = self;
        slots.retain(|_, slot| {
            let is_old = |held: &mut Held| now.saturating_duration_since(held.read_at) > ENTRY_LIFETIME;
            if let Some(old) = slot.held.take_if(is_old) {
                *bytes = bytes.saturating_sub(old.bytes);
            }
            slot.held.is_some() || slot.reading.is_some()
        });
        if slots.is_empty() {
            slots.shrink_to_fit();
        }
    }

    /// Makes room for `more` bytes; `false` if the young entries leave none.
    fn make_room(&mut self, more: usize, now: Instant) -> bool {
        let is_due = |swept_at: Instant| now.saturating_duration_since(swept_at) >= SWEEP_INTERVAL;
        if self.bytes.saturating_add(more) > MAX_BYTES && self.swept_at.is_none_or(is_due) {
            self.drop_old(now);
        }
        self.bytes.saturating_add(more) <= MAX_BYTES
    }
}

/// A read in progress whose result may be held. Dropped without one, it leaves nothing.
#[derive(Debug)]
pub struct Reading {
    of: Arc<RecentReads>,
    name: String,
    ticket: u64,
    read_at: Instant,
}

impl Reading {
    /// Holds what was read, unless the key has changed or the connection was lost since the read began.
    pub fn hold(self, entry: Option<Entry>) {
        let recent = Recent::new(entry);
        let bytes = weight(&self.name, &recent);
        let mut state = self.of.state();
        let before = match state.slots.get_mut(&self.name) {
            Some(slot) if slot.reading == Some(self.ticket) => slot.held.take(),
            _ => return,
        };
        state.bytes = state.bytes.saturating_sub(before.map_or(0, |held| held.bytes));
        // The slot stays while its read is in progress.
        if !state.make_room(bytes, self.read_at) {
            return;
        }
        if let Some(slot) = state.slots.get_mut(&self.name) {
            slot.held = Some(Held {
                recent: Arc::new(recent),
                read_at: self.read_at,
                bytes,
            });
            state.bytes += bytes;
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.of.state();
        let Some(slot) = state.slots.get_mut(&self.name) else {
            return;
        };
        slot.reading.take_if(|ticket| *ticket == self.ticket);
        if slot.held.is_none() && slot.reading.is_none() {
            state.slots.remove(&self.name);
        }
    }
}
