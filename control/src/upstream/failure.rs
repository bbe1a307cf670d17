//! A failure at an issuer that leaves the login intact.

use std::time::Duration;

use crate::upstream::issuer::answer::Transient;
use crate::upstream::issuer::unverified::AnswerUnverified;
use crate::upstream::streak::StreakKind;

/// Why a refresh or an exchange brought no token; becomes part of the record's [`crate::upstream::streak::Streak`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What the failure means for the next attempt.
    pub kind: StreakKind,
    /// The issuer's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// One sentence for an operator.
    pub cause: String,
}

impl Failure {
    /// A failure of `kind` without a `Retry-After`.
    #[must_use]
    pub fn new(kind: StreakKind, cause: impl Into<String>) -> Self {
        Self {
            kind,
            retry_after: None,
            cause: cause.into(),
        }
    }

    /// A failure that lasts until an operator acts.
    #[must_use]
    pub fn misconfigured(cause: impl Into<String>) -> Self {
        Self::new(StreakKind::Misconfigured, cause)
    }
}

impl From<Transient> for Failure {
    fn from(transient: Transient) -> Self {
        Self {
            kind: transient.kind,
            retry_after: transient.retry_after,
            cause: transient.cause,
        }
    }
}

impl From<AnswerUnverified> for Failure {
    fn from(unverified: AnswerUnverified) -> Self {
        Self {
            kind: unverified.kind,
            retry_after: unverified.retry_after,
            cause: unverified.cause,
        }
    }
}
