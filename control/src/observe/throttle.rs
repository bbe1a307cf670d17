//! Limits log lines: at most one warning in an interval for the same trouble.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

/// At most one warning a minute per trouble; counts what it keeps back.
#[derive(Debug)]
pub struct Throttle {
    every_ms: u64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    troubles: HashMap<String, Trouble>,
    /// How many of them are not over.
    open: usize,
    /// When they were last looked through for what is not seen any more.
    looked_at_ms: u64,
    /// When the warnings were last counted from nothing, and how many there were since.
    counted_since_ms: u64,
    warned: u64,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    warned_at_ms: u64,
    seen_at_ms: u64,
    suppressed: u64,
    /// It is kept after its end until its minute is over: what comes and goes is one warning too.
    over: bool,
    /// Whether its end has been told since the last warning.
    told: bool,
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// A warning, with how many were kept back since the last.
    Warn {
        /// Kept back.
        suppressed: u64,
    },
    /// A debug line.
    Debug,
}

/// Troubles remembered at most; beyond that the oldest are forgotten, which costs a warning too many.
const MOST_TROUBLES: usize = 8192;
/// A trouble that was not seen for this long is over, although nobody saw its end.
const LONGEST_UNSEEN_MS: u64 = 10 * 60 * 1000;
/// How often they are looked through for that.
const LOOK_EVERY_MS: u64 = 60 * 1000;
/// Warnings of all troubles together in the same span: beyond them only debug lines are written.
const MOST_WARNINGS: u64 = 1000;

impl Throttle {
    /// One warning per `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every_ms: whole_ms(every),
            known: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same trouble again at `now_ms`.
    #[must_use]
    pub fn failed(&self, trouble: &str, now_ms: u64) -> Emit {
        let mut known = self.lock();
        let Known { troubles, open, .. } = &mut *known;
        if let Some(trouble) = troubles.get_mut(trouble) {
            *open += usize::from(std::mem::take(&mut trouble.over));
            trouble.seen_at_ms = now_ms;
            if now_ms < trouble.warned_at_ms.saturating_add(self.every_ms) {
                trouble.suppressed += 1;
                return Emit::Debug;
            }
            let suppressed = std::mem::take(&mut trouble.suppressed);
            (trouble.warned_at_ms, trouble.told) = (now_ms, false);
            return known.line(suppressed, self.every_ms, now_ms);
        }
        known.make_room(self.every_ms, now_ms);
        let first = Trouble {
            warned_at_ms: now_ms,
            seen_at_ms: now_ms,
            suppressed: 0,
            over: false,
            told: false,
        };
        known.troubles.insert(trouble.to_owned(), first);
        known.open += 1;
        known.line(0, self.every_ms, now_ms)
    }

    /// Whether there is no trouble at all at `now_ms`: nothing can have recovered. A trouble whose end nobody sees (an
    /// issuer or session that is asked for no more) is forgotten ten minutes after it was last seen, give or take one.
    #[must_use]
    pub fn is_calm(&self, now_ms: u64) -> bool {
        let mut known = self.lock();
        known.forget(now_ms);
        known.open == 0
    }

    /// The trouble is over: how many warnings were kept back, if its end has not been told since the last warning.
    #[must_use]
    pub fn recovered(&self, trouble: &str) -> Option<u64> {
        let mut known = self.lock();
        let Known { troubles, open, .. } = &mut *known;
        let trouble = troubles.get_mut(trouble).filter(|trouble| !trouble.over)?;
        trouble.over = true;
        *open = open.saturating_sub(1);
        let told = std::mem::replace(&mut trouble.told, true);
        (!told).then(|| std::mem::take(&mut trouble.suppressed))
    }
}

impl Known {
    /// By distance, not by order: a clock that was set back must not make a trouble last.
    fn forget(&mut self, now_ms: u64) {
        if self.open == 0 || now_ms.abs_diff(self.looked_at_ms) < LOOK_EVERY_MS {
            return;
        }
        self.looked_at_ms = now_ms;
        let Self { troubles, open, .. } = self;
        for trouble in troubles.values_mut().filter(|trouble| !trouble.over) {
            trouble.over = now_ms.abs_diff(trouble.seen_at_ms) >= LONGEST_UNSEEN_MS;
            *open = open.saturating_sub(usize::from(trouble.over));
        }
    }

    fn make_room(&mut self, every_ms: u64, now_ms: u64) {
        if self.troubles.len() < MOST_TROUBLES {
            return;
        }
        self.troubles
            .retain(|_, trouble| now_ms < trouble.seen_at_ms.saturating_add(every_ms));
        if self.troubles.len() >= MOST_TROUBLES {
            self.troubles.clear();
        }
        self.open = self.troubles.values().filter(|trouble| !trouble.over).count();
    }

    /// Whoever can make up sessions and subjects makes each a trouble of its own: all of them have their bound too.
    fn line(&mut self, suppressed: u64, every_ms: u64, now_ms: u64) -> Emit {
        let since_ms = self.counted_since_ms;
        if now_ms >= since_ms.saturating_add(every_ms) || now_ms < since_ms {
            (self.counted_since_ms, self.warned) = (now_ms, 0);
        }
        if self.warned >= MOST_WARNINGS {
            return Emit::Debug;
        }
        self.warned += 1;
        Emit::Warn { suppressed }
    }
}
