//! Why a resource is not a server, in words for its writers.

/// A reason and its text: field, fault, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(super) fn accepted() -> Self {
        Self::new("Accepted", "requests to this server need a fresh token")
    }

    /// The same, of a resource whose earlier version stays in force.
    pub(super) fn held(self) -> Self {
        Self {
            message: format!(
                "{}. The server stays as it was before",
                self.message.trim_end_matches('.')
            ),
            ..self
        }
    }
}
