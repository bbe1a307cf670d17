//! The pair in an explanation: its digest, its user, and how its last request ended.

use serde::Serialize;

use crate::activity::{PairOutcome, PairRecord, User};

/// A pair of session and server.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PairView {
    /// As in log lines of the filter and of control: eight hex digits.
    pub(crate) digest: String,
    /// The user, if a request was recorded.
    pub(crate) user: Option<UserView>,
    /// `token` or a refusal: how the last recorded request ended.
    pub(crate) last_outcome: Option<String>,
    /// The cause of that refusal.
    pub(crate) last_cause: Option<String>,
    /// When.
    pub(crate) last_at: Option<u64>,
}

/// A user, as an ID token names them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UserView {
    /// `iss`.
    pub(crate) issuer: String,
    /// `sub`.
    pub(crate) subject: String,
    /// `email`.
    pub(crate) email: Option<String>,
    /// `name`.
    pub(crate) name: Option<String>,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        let User {
            issuer,
            subject,
            email,
            name,
        } = user.clone();
        Self {
            issuer,
            subject,
            email,
            name,
        }
    }
}

impl PairView {
    /// The pair `digest`, with what was `recorded` of it, or else the `user` that an event names.
    pub(super) fn new(digest: &str, recorded: Option<&PairRecord>, user: Option<&User>) -> Self {
        let (last_outcome, last_cause) = match recorded.map(|pair| &pair.outcome) {
            None => (None, None),
            Some(PairOutcome::Token) => (Some("token".to_owned()), None),
            Some(PairOutcome::Refused { refusal, cause }) => {
                let cause = Some(cause.clone()).filter(|cause| !cause.is_empty());
                (Some(refusal.clone()), cause)
            }
        };
        Self {
            digest: digest.to_owned(),
            user: recorded.map(|pair| &pair.user).or(user).map(UserView::from),
            last_outcome,
            last_cause,
            last_at: recorded.map(|pair| pair.at_ms / 1000),
        }
    }
}
