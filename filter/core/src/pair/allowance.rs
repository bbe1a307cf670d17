//! A rate limit: a burst at once, then one event for each span of time that passes.

/// The size of an allowance. All costs are spans of time: an event costs the time until its share is available again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowanceLimit {
    /// The whole allowance, in milliseconds.
    pub most_ms: u64,
    /// The part of it that is reserved for attempts that return after a denial.
    pub reserve_ms: u64,
}

/// What is left of an allowance, stored as the moment at which it is whole again (the generic cell rate algorithm of ATM
/// Forum TM 4.1): one number, and a whole allowance needs no storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowance {
    /// Unix ms; a moment that is past, or 0, for a whole one.
    pub whole_at_ms: u64,
}

impl Allowance {
    /// What is used up at `now_ms`. A moment further ahead than the whole allowance means that the clock stepped back:
    /// then nothing is.
    fn used_ms(self, limit: AllowanceLimit, now_ms: u64) -> u64 {
        let used_ms = self.whole_at_ms.saturating_sub(now_ms);
        if used_ms > limit.most_ms { 0 } else { used_ms }
    }

    /// Whether nothing is used up.
    #[must_use]
    pub fn is_whole(self, limit: AllowanceLimit, now_ms: u64) -> bool {
        self.used_ms(limit, now_ms) == 0
    }

    /// Takes `cost_ms`. `returning` may use the reserve as well.
    ///
    /// # Errors
    /// The time in milliseconds until there is enough, when there is not.
    pub fn take(
        self,
        cost_ms: u64,
        limit: AllowanceLimit,
        returning: bool,
        now_ms: u64,
    ) -> Result<Self, u64> {
        let used_ms = self.used_ms(limit, now_ms).saturating_add(cost_ms);
        let reserve_ms = if returning { 0 } else { limit.reserve_ms };
        let most_ms = limit.most_ms.saturating_sub(reserve_ms);
        match used_ms.saturating_sub(most_ms) {
            0 => Ok(Self {
                whole_at_ms: now_ms.saturating_add(used_ms),
            }),
            wait_ms => Err(wait_ms),
        }
    }

    /// Takes `cost_ms` for an event that has happened already, as far as it is available.
    #[must_use]
    pub fn charge(self, cost_ms: u64, limit: AllowanceLimit, now_ms: u64) -> Self {
        let used_ms = self.used_ms(limit, now_ms).saturating_add(cost_ms);
        Self {
            whole_at_ms: now_ms.saturating_add(used_ms.min(limit.most_ms)),
        }
    }

    /// Gives back `cost_ms` that an event turned out not to cost.
    #[must_use]
    pub fn give_back(self, cost_ms: u64, limit: AllowanceLimit, now_ms: u64) -> Self {
        match self.used_ms(limit, now_ms).saturating_sub(cost_ms) {
            0 => Self::default(),
            used_ms => Self {
                whole_at_ms: now_ms.saturating_add(used_ms),
            },
        }
    }
}
