//! The log throttle: one WARN per pair and `warn_every` for the whole Envoy, DEBUG in between, one INFO on recovery.

use tokenward_protocol::refusal::Refusal;

use crate::log::{Level, RecoveryLine, RefusalLine, Refusals};

/// The log throttle of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttle {
    /// Whether the pair is failing and a WARN was written about it: the next success is worth an INFO.
    pub warned: bool,
    /// [`Refusal::code`] of the last refusal.
    pub refusal: u8,
    /// Refusals since the last WARN that were not logged above DEBUG.
    pub suppressed: u32,
    /// Refusals in a row since the last success.
    pub in_a_row: u32,
    /// When the last WARN was written, Unix ms; 0 for never.
    pub last_warn_ms: u64,
}

impl Throttle {
    /// The throttle after `count` more refusals that write no line.
    #[must_use]
    pub fn and_suppressed(self, count: u32) -> Self {
        Self {
            suppressed: self.suppressed.saturating_add(count),
            in_a_row: self.in_a_row.saturating_add(count),
            ..self
        }
    }

    /// The throttle after `refusals`, and what to log about them.
    #[must_use]
    pub fn refused(&self, refusals: Refusals, warn_every_ms: u64, now_ms: u64) -> (Self, RefusalLine) {
        // A WARN "in the future" means that the clock stepped back: wait no longer than one span from now.
        let due = now_ms.saturating_sub(self.last_warn_ms) >= warn_every_ms
            || self.last_warn_ms > now_ms.saturating_add(warn_every_ms);
        let warn = refusals.may_warn && (self.last_warn_ms == 0 || due);
        let after = Self {
            warned: warn || self.warned,
            refusal: refusals.refusal.code(),
            suppressed: if warn {
                refusals.requests.saturating_sub(1)
            } else {
                self.suppressed.saturating_add(refusals.requests)
            },
            last_warn_ms: if warn { now_ms } else { self.last_warn_ms },
            in_a_row: self.in_a_row.saturating_add(refusals.requests),
        };
        let line = RefusalLine {
            level: if warn { Level::Warn } else { Level::Debug },
            suppressed: self.suppressed,
            in_a_row: after.in_a_row,
        };
        (after, line)
    }

    /// The throttle after a success, and what to log about the recovery; `None` when nothing changes. A recovery is worth
    /// a line only if a WARN was written before it, so a pair that flaps writes no more INFO than WARN. The moment of the
    /// last WARN stays for the same reason.
    #[must_use]
    pub fn recovered(&self) -> Option<(Self, Option<RecoveryLine>)> {
        if !self.warned && self.in_a_row == 0 {
            return None;
        }
        let suppressed = if self.warned { 0 } else { self.suppressed };
        let after = Self {
            warned: false,
            suppressed,
            in_a_row: 0,
            ..*self
        };
        let line = RecoveryLine {
            refusal: Refusal::from_code(self.refusal),
            suppressed: self.suppressed,
        };
        Some((after, self.warned.then_some(line)))
    }
}
