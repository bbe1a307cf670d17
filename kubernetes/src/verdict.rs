//! What was decided about a resource.

use crate::resource::Resource;

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It is a server.
    Accepted,
    /// It needs no protection: nothing is written to it.
    Ignored,
    /// It is not a server, and should be corrected.
    Rejected,
    /// It should be corrected; until then the server that it was before stays.
    Held,
}

impl Outcome {
    /// The value of the metric label `state`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
            Self::Held => "held",
        }
    }

    /// Whether the resource is as it should be.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Accepted | Self::Ignored)
    }
}

/// The decision about one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The resource as it was judged.
    pub resource: Resource,
    /// The decision.
    pub outcome: Outcome,
    /// A word in `PascalCase`, the `reason` of the condition and of the Event.
    pub reason: &'static str,
    /// Field, fault and how to fix it. No secret.
    pub message: String,
}
