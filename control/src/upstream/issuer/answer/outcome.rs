//! What the outcomes of refresh and login have in common: a class for metrics, and whether they count against the issuer.

use super::login::LoginAnswer;
use super::{RawAnswer, RefreshAnswer, Transient};
use crate::upstream::dialect::Dialect;

/// The outcome of a grant that the issuer's own client presented at the token endpoint.
pub(in crate::upstream::issuer) trait GrantAnswer: From<Transient> {
    /// The call's name, for metrics.
    const CALL: &'static str;

    /// Classifies the response.
    fn read(answer: &RawAnswer, dialect: Dialect) -> Self;

    /// The class, for metrics.
    fn class(&self) -> &'static str;

    /// The failure, if the call failed transiently.
    fn transient(&self) -> Option<&Transient>;
}

impl From<Transient> for RefreshAnswer {
    fn from(failed: Transient) -> Self {
        Self::Transient(failed)
    }
}

impl GrantAnswer for RefreshAnswer {
    const CALL: &'static str = "refresh";

    fn read(answer: &RawAnswer, dialect: Dialect) -> Self {
        super::read_refresh(answer, dialect)
    }

    fn class(&self) -> &'static str {
        match self {
            Self::Refreshed { .. } => "tokens",
            Self::Dead(_) => "dead",
            Self::Misconfigured(_) => "misconfigured",
            Self::Transient(passing) => passing.class(),
        }
    }

    fn transient(&self) -> Option<&Transient> {
        match self {
            Self::Transient(passing) => Some(passing),
            _ => None,
        }
    }
}

impl From<Transient> for LoginAnswer {
    fn from(failed: Transient) -> Self {
        Self::Transient(failed)
    }
}

impl GrantAnswer for LoginAnswer {
    const CALL: &'static str = "login";

    fn read(answer: &RawAnswer, dialect: Dialect) -> Self {
        super::login::read_login(answer, dialect)
    }

    fn class(&self) -> &'static str {
        match self {
            Self::LoggedIn(_) => "tokens",
            Self::CodeRejected => "dead",
            Self::Denied => "denied",
            Self::Misconfigured(_) => "misconfigured",
            Self::Transient(passing) => passing.class(),
        }
    }

    fn transient(&self) -> Option<&Transient> {
        match self {
            Self::Transient(passing) => Some(passing),
            _ => None,
        }
    }
}
