//! Virtual time: a steady clock that timers run on, and a wall clock that may step.

/// The clock that all VMs of one gateway read.
#[derive(Debug, Clone)]
pub struct Clock {
    elapsed_ms: u64,
    wall_at_start_ms: i64,
}

impl Clock {
    /// A clock whose wall time is `wall_ms` (Unix milliseconds) at the start.
    #[must_use]
    pub fn starting_at(wall_ms: u64) -> Self {
        Self {
            elapsed_ms: 0,
            wall_at_start_ms: i64::try_from(wall_ms).expect("a time of this age"),
        }
    }

    /// Milliseconds since the start: never goes back. Ticks and callouts run on it.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms
    }

    /// Wall time in Unix milliseconds: what `proxy_get_current_time_nanoseconds` returns.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let elapsed = i64::try_from(self.elapsed_ms).expect("a time of this age");
        u64::try_from(self.wall_at_start_ms + elapsed).expect("a wall clock after 1970")
    }

    /// Moves both clocks on to `elapsed_ms`; a moment in the past changes nothing.
    pub fn advance_to(&mut self, elapsed_ms: u64) {
        self.elapsed_ms = self.elapsed_ms.max(elapsed_ms);
    }

    /// Steps the wall clock alone, as an NTP correction does; negative is back.
    pub fn step_wall_ms(&mut self, by_ms: i64) {
        self.wall_at_start_ms += by_ms;
    }
}
