//! The configured spans of time of refreshes and exchanges.

use std::time::Duration;

/// The configured spans of time that decisions rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// No token is served later than this before its `exp`.
    pub margin: Duration,
    /// A refusing issuer is asked again after this, when somebody else may have rotated the token meanwhile.
    pub suspect_wait: Duration,
    /// How long after its announcement a presenter may still come and keep the issuer's answer.
    pub presentation_limit: Duration,
    /// How long an issuer may fail a refresh until the grant counts as dead.
    pub transient_limit: Duration,
    /// At most one refresh in this span because a server rejected a fresh token.
    pub rejected_interval: Duration,
}

impl Policy {
    /// How long after its announcement a presentation may begin: the announcement's own write, and the look at the store's
    /// line after it. A process that was held up for longer presents nothing: another may have asked the issuer meanwhile.
    #[must_use]
    pub fn announcement_limit(&self) -> Duration {
        self.presentation_limit.saturating_sub(self.suspect_wait)
    }
}
