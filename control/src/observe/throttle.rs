//! Limits log lines: at most one warning per interval for the same failure.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

/// Allows one warning per interval and key, and counts the suppressed ones.
#[derive(Debug)]
pub struct Throttle {
    every_ms: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<String, Entry>,
    /// Entries that have not recovered.
    open: usize,
    /// When the entries were last checked for expiry.
    expired_at_ms: u64,
    /// Start of the present interval for warnings of all keys, and their number since then.
    counted_since_ms: u64,
    warned: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    warned_at_ms: u64,
    seen_at_ms: u64,
    suppressed: u64,
    /// The failure has recovered or expired. Its entry is retained until its interval has passed: a failure that recurs
    /// within it must not warn again.
    recovered: bool,
    /// Its recovery was reported since the last warning.
    reported: bool,
    /// Its beginning was announced by a warning, and its end was not.
    announced: bool,
}

/// Which log line to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// A warning.
    Warn {
        /// Warnings of this key that were suppressed since the last one.
        suppressed: u64,
    },
    /// A debug line.
    Debug,
}

/// Maximum number of entries; beyond it the oldest are dropped, which costs a warning too many.
const MAX_ENTRIES: usize = 8192;
/// A failure that was not seen for this long expires without a recovery.
const EXPIRY_MS: u64 = 10 * 60 * 1000;
/// How often the entries are checked for expiry.
const EXPIRY_CHECK_MS: u64 = 60 * 1000;
/// Warnings of all keys together per interval; beyond it only debug lines are written.
const MAX_WARNINGS: u64 = 1000;

impl Throttle {
    /// Allows one warning per `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every_ms: whole_ms(every),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a failure of `key` at `now_ms`.
    #[must_use]
    pub fn failed(&self, key: &str, now_ms: u64) -> Emit {
        self.began_or_failed(key, now_ms).0
    }

    /// The same, and whether this failure began now: the first that is warned about since the key last recovered.
    #[must_use]
    pub(crate) fn began_or_failed(&self, key: &str, now_ms: u64) -> (Emit, bool) {
        let emit = self.note_failed(key, now_ms);
        let mut state = self.state();
        let began = matches!(emit, Emit::Warn { .. })
            && (state.entries.get_mut(key))
                .is_some_and(|entry| !std::mem::replace(&mut entry.announced, true));
        (emit, began)
    }

    fn note_failed(&self, key: &str, now_ms: u64) -> Emit {
        let mut state = self.state();
        let State { entries, open, .. } = &mut *state;
        if let Some(entry) = entries.get_mut(key) {
            *open += usize::from(std::mem::take(&mut entry.recovered));
            entry.seen_at_ms = now_ms;
            if now_ms < entry.warned_at_ms.saturating_add(self.every_ms) {
                entry.suppressed += 1;
                return Emit::Debug;
            }
            let suppressed = std::mem::take(&mut entry.suppressed);
            (entry.warned_at_ms, entry.reported) = (now_ms, false);
            return state.warn(suppressed, self.every_ms, now_ms);
        }
        state.make_room(self.every_ms, now_ms);
        let first = Entry {
            warned_at_ms: now_ms,
            seen_at_ms: now_ms,
            suppressed: 0,
            recovered: false,
            reported: false,
            announced: false,
        };
        state.entries.insert(key.to_owned(), first);
        state.open += 1;
        state.warn(0, self.every_ms, now_ms)
    }

    /// Whether no failure is open at `now_ms`, so that nothing can recover. A failure without a recovery (an issuer or
    /// session that no request needs any more) expires ten minutes after it was last seen, give or take one.
    #[must_use]
    pub fn is_calm(&self, now_ms: u64) -> bool {
        let mut state = self.state();
        state.expire(now_ms);
        state.open == 0
    }

    /// Records the recovery of `key`. Returns how many warnings were suppressed, unless the recovery was reported since the
    /// last warning.
    #[must_use]
    pub fn recovered(&self, key: &str) -> Option<u64> {
        self.ended_or_recovered(key).map(|(suppressed, _)| suppressed)
    }

    /// The same, and whether a failure ended that had begun ([`Throttle::began_or_failed`]).
    #[must_use]
    pub(crate) fn ended_or_recovered(&self, key: &str) -> Option<(u64, bool)> {
        let mut state = self.state();
        let State { entries, open, .. } = &mut *state;
        let entry = entries.get_mut(key).filter(|entry| !entry.recovered)?;
        entry.recovered = true;
        *open = open.saturating_sub(1);
        let reported = std::mem::replace(&mut entry.reported, true);
        (!reported).then(|| {
            (
                std::mem::take(&mut entry.suppressed),
                std::mem::take(&mut entry.announced),
            )
        })
    }
}

impl State {
    /// Compares absolute differences: a clock that was set back must not prolong a failure.
    fn expire(&mut self, now_ms: u64) {
        if self.open == 0 || now_ms.abs_diff(self.expired_at_ms) < EXPIRY_CHECK_MS {
            return;
        }
        self.expired_at_ms = now_ms;
        let Self { entries, open, .. } = self;
        for entry in entries.values_mut().filter(|entry| !entry.recovered) {
            entry.recovered = now_ms.abs_diff(entry.seen_at_ms) >= EXPIRY_MS;
            entry.announced &= !entry.recovered;
            *open = open.saturating_sub(usize::from(entry.recovered));
        }
    }

    fn make_room(&mut self, every_ms: u64, now_ms: u64) {
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        self.entries
            .retain(|_, entry| now_ms < entry.seen_at_ms.saturating_add(every_ms));
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.clear();
        }
        self.open = self.entries.values().filter(|entry| !entry.recovered).count();
    }

    /// A client that invents sessions and subjects makes a key of each, so all keys together have a limit too.
    fn warn(&mut self, suppressed: u64, every_ms: u64, now_ms: u64) -> Emit {
        let since_ms = self.counted_since_ms;
        if now_ms >= since_ms.saturating_add(every_ms) || now_ms < since_ms {
            (self.counted_since_ms, self.warned) = (now_ms, 0);
        }
        if self.warned >= MAX_WARNINGS {
            return Emit::Debug;
        }
        self.warned += 1;
        Emit::Warn { suppressed }
    }
}

#[cfg(test)]
mod tests;
