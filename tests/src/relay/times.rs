//! The times of a story, all from how long a token lives.

use std::time::Duration;

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
}

impl Times {
    /// Tokens of some seconds, an outage that one of them does not outlive.
    pub const SHORT: Self = Self {
        life: Duration::from_secs(14),
        margin: Duration::from_secs(2),
        ahead: Duration::from_secs(6),
        outage: Duration::from_secs(8),
    };

    /// Tokens of some minutes, an outage of two.
    pub const LONG: Self = Self {
        life: Duration::from_secs(200),
        margin: Duration::from_secs(10),
        ahead: Duration::from_secs(140),
        outage: Duration::from_secs(120),
    };

    /// `margin` as filter and control read it.
    pub(super) fn margin_text(&self) -> String {
        format!("{}s", self.margin.as_secs())
    }
}
