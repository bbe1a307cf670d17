//! The times of a story, all from how long a token lives.

use std::time::Duration;

use super::ProgramKind;

/// How long tokens live, and when they are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The life of ID tokens.
    pub life: Duration,
    /// With less life than this a token is stale for filter and control.
    pub margin: Duration,
    /// With less life than this a program refreshes, where it does so before the end.
    pub ahead: Duration,
    /// How long the issuer is away.
    pub outage: Duration,
    /// How long before a token's end the issuer is back for a program that forgets its login then: control's pause after
    /// so many failures, and a call.
    pub recovery: Duration,
}

impl Times {
    /// Tokens of some seconds, an outage of some seconds. A program refreshes past the half of a token's life: before that
    /// the relay gives what it has. Where a lost answer may have been a rotation, control asks a strict issuer only after
    /// half a minute.
    pub fn short(program: ProgramKind) -> Self {
        let recovers = program.forgets_after_the_end();
        Self {
            life: Duration::from_secs(if recovers { 80 } else { 14 }),
            margin: Duration::from_secs(2),
            ahead: Duration::from_secs(if recovers { 38 } else { 6 }),
            outage: Duration::from_secs(8),
            recovery: Duration::from_secs(34),
        }
    }

    /// Tokens of seven minutes, an outage of two.
    pub const LONG: Self = Self {
        life: Duration::from_secs(400),
        margin: Duration::from_secs(10),
        ahead: Duration::from_secs(190),
        outage: Duration::from_secs(120),
        recovery: Duration::from_secs(70),
    };

    /// `margin` as filter and control read it.
    pub(super) fn margin_text(&self) -> String {
        format!("{}s", self.margin.as_secs())
    }
}
