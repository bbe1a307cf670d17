//! The log throttle: one WARN per pair and `warn_every` for the whole Envoy, DEBUG in between, one INFO on recovery.

use tokenward_protocol::refusal::Refusal;

use crate::log::{Level, RecoveryLine, RefusalLine};

/// The log throttle of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttle {
    /// Whether the pair is failing and a WARN said so: the next success is worth an INFO.
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
    /// With `count` refusals more, none of which was worth a line.
    #[must_use]
    pub fn and_refused(self, count: u32) -> Self {
        Self {
            suppressed: self.suppressed.saturating_add(count),
            in_a_row: self.in_a_row.saturating_add(count),
            ..self
        }
    }
}

/// Notes `count` refusals at once. `may_warn` is false for answers from the gate's memory, which say nothing new.
#[must_use]
pub fn note_refusals(
    before: &Throttle,
    refusal: Refusal,
    count: u32,
    may_warn: bool,
    warn_every_ms: u64,
    now_ms: u64,
) -> (Throttle, RefusalLine) {
    // A WARN "in the future" means that the clock stepped back: wait no longer than one span from now.
    let due = now_ms.saturating_sub(before.last_warn_ms) >= warn_every_ms
        || before.last_warn_ms > now_ms.saturating_add(warn_every_ms);
    let warn = may_warn && (before.last_warn_ms == 0 || due);
    let after = Throttle {
        warned: warn || before.warned,
        refusal: refusal.code(),
        suppressed: if warn {
            count.saturating_sub(1)
        } else {
            before.suppressed.saturating_add(count)
        },
        last_warn_ms: if warn { now_ms } else { before.last_warn_ms },
        in_a_row: before.in_a_row.saturating_add(count),
    };
    let level = if warn { Level::Warn } else { Level::Debug };
    (
        after,
        RefusalLine {
            level,
            suppressed: before.suppressed,
            in_a_row: after.in_a_row,
        },
    )
}

/// Notes a success. A recovery is worth a line only if a WARN said that the pair was failing, so a pair that flaps
/// writes no more INFO than WARN. The moment of the last WARN is kept for the same reason.
///
/// `None` when there is nothing to note.
#[must_use]
pub fn note_success(before: &Throttle) -> Option<(Throttle, Option<RecoveryLine>)> {
    if !before.warned && before.in_a_row == 0 {
        return None;
    }
    let suppressed = if before.warned { 0 } else { before.suppressed };
    let after = Throttle {
        warned: false,
        suppressed,
        in_a_row: 0,
        ..*before
    };
    let line = RecoveryLine {
        refusal: Refusal::from_code(before.refusal),
        suppressed: before.suppressed,
    };
    Some((after, before.warned.then_some(line)))
}
