//! When refused callers are to return: one after the other, at the rate at which calls are made. Pure.

use std::collections::HashMap;
use std::time::Duration;

/// The latest turn. Callers beyond it are spread over the second half of this time.
const LATEST_MS: u64 = 300_000;
/// Grants that have a turn; about 35 bytes each.
const MOST_TURNS: usize = 16_384;
/// A turn that was not taken within this time is over.
const TURN_LASTS_MS: u64 = 60_000;
/// Callers read whole seconds.
const EARLY_MS: u64 = 1_000;

/// The turns of the grants whose callers were refused.
#[derive(Debug, Default)]
pub struct Turns {
    /// Unix ms by grant.
    of_grants: HashMap<u64, u64>,
    /// The last turn, Unix µs.
    last_us: u64,
}

impl Turns {
    /// The time until the turn of `grant`, which is refused now: the turn that it has, or one `interval` after the last one. No
    /// turn comes before `soonest`.
    pub fn of(&mut self, grant: u64, soonest: Duration, interval: Duration, now_ms: u64) -> Duration {
        if let Some(turn_ms) = self.of_grants.get(&grant) {
            // Its turn has come, and others were before it: it stays the next.
            return Duration::from_millis(turn_ms.saturating_sub(now_ms)).max(soonest);
        }
        self.forget_the_past(now_ms);
        let now_us = now_ms.saturating_mul(1000);
        let soonest_us = now_us.saturating_add(whole_us(soonest));
        let next_us = self.last_us.max(soonest_us).saturating_add(whole_us(interval));
        if next_us > now_us.saturating_add(LATEST_MS * 1000) || self.of_grants.len() >= MOST_TURNS {
            let half_ms = LATEST_MS / 2;
            return Duration::from_millis(half_ms + grant % half_ms);
        }
        self.last_us = next_us;
        self.of_grants.insert(grant, next_us / 1000);
        Duration::from_micros(next_us - now_us)
    }

    /// Whether `grant` has a turn, and it has come.
    #[must_use]
    pub fn has_come(&self, grant: u64, now_ms: u64) -> bool {
        let turn_ms = self.of_grants.get(&grant);
        turn_ms.is_some_and(|turn_ms| *turn_ms <= now_ms.saturating_add(EARLY_MS))
    }

    /// Whether others wait for theirs.
    #[must_use]
    pub fn are_waited_for(&self, now_ms: u64) -> bool {
        self.last_us > now_ms.saturating_mul(1000)
    }

    /// The call for `grant` is made.
    pub fn taken(&mut self, grant: u64) {
        self.of_grants.remove(&grant);
    }

    fn forget_the_past(&mut self, now_ms: u64) {
        let last_ms = self.last_us / 1000;
        let is_over = last_ms.saturating_add(TURN_LASTS_MS) < now_ms;
        // A clock that was set back must not delay callers for longer.
        let is_set_back = last_ms > now_ms.saturating_add(LATEST_MS);
        if is_over || is_set_back {
            *self = Self::default();
        } else if self.of_grants.len() >= MOST_TURNS {
            self.of_grants
                .retain(|_, turn_ms| turn_ms.saturating_add(TURN_LASTS_MS) > now_ms);
        }
    }
}

fn whole_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
