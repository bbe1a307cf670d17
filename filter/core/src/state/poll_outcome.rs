//! The ends of a poll, a label of metrics.

/// How a poll ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PollOutcome {
    /// The answer is in force.
    Taken,
    /// There was no answer, or a refusal.
    Unanswered,
    /// The answer is damaged, too large or of another format.
    Unusable,
    /// The sign-outs are in force; the list of servers has a fault, and the one before stays in force.
    ServersRefused,
}

impl PollOutcome {
    /// The label's value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unanswered => "unanswered",
            Self::Unusable => "unusable",
            Self::ServersRefused => "servers_refused",
        }
    }
}
