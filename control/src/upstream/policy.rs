//! The configured durations for refreshes and exchanges.

use std::time::Duration;

/// The configured durations on which decisions rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// No token is served later than this before its `exp`.
    pub margin: Duration,
    /// Wait before the next attempt after a refusal, when another process may have rotated the token meanwhile.
    pub suspect_wait: Duration,
    /// How long after its announcement a presenter may still return and store the issuer's answer.
    pub presentation_limit: Duration,
    /// How long an issuer may fail a refresh until the grant counts as dead.
    pub transient_limit: Duration,
    /// At most one refresh in this span because a server rejected a fresh token.
    pub rejected_interval: Duration,
}

impl Policy {
    /// How long after its announcement a presentation may begin: the announcement's write, and the lookup of the
    /// store's lineage after it. A process that was suspended for longer presents nothing, because another may have
    /// introspected the token meanwhile.
    #[must_use]
    pub fn announcement_limit(&self) -> Duration {
        self.presentation_limit.saturating_sub(self.suspect_wait)
    }
}
