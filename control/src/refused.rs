//! A refusal with its details: retry time and cause.

use std::time::Duration;

use tokenward_protocol::jwt::Malformed;
use tokenward_protocol::refusal::{Refusal, RefusalClass};

use crate::store::StoreError;

/// Why a request gets no token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refused {
    /// The typed reason; decides status, error code, log level and metric.
    pub refusal: Refusal,
    /// Time until a retry can succeed, in whole seconds.
    pub retry_after_seconds: Option<u64>,
    /// The exact cause and a hint; contains no token, session id or secret. Empty where the refusal is clear by itself.
    pub cause: String,
}

/// `Retry-After` of a transient refusal without a time of its own.
const TRANSIENT_RETRY_SECONDS: u64 = 2;
/// `Retry-After` of a configuration error: an operator has to act first.
const MISCONFIGURED_RETRY_SECONDS: u64 = 60;

/// States the lost key, so that an operator does not look for an outage.
const UNREADABLE: &str = "the store answers, but a record of this login cannot be read or opened: put a sealing key that was taken \
                          out back into sealing.previous, and let nothing else write to the store";

impl Refused {
    /// A refusal without details.
    #[must_use]
    pub fn new(refusal: Refusal) -> Self {
        Self {
            refusal,
            retry_after_seconds: None,
            cause: String::new(),
        }
    }

    /// The refusal of a token that cannot be parsed; `token_name` states which one it is.
    #[must_use]
    pub fn unreadable(token_name: &str, token: &str, why: Malformed) -> Self {
        match why {
            Malformed::TooLong => {
                Self::new(Refusal::TokenTooLarge).because(format!("{token_name} has {} bytes", token.len()))
            }
            _ => Self::new(Refusal::MalformedBearer).because(format!("{token_name}: {why}")),
        }
    }

    /// Sets the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    /// Sets the time until a retry can succeed (rounded up to a second).
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// `Retry-After` in seconds: always for a transient refusal or a configuration error, never if a login is needed.
    #[must_use]
    pub fn retry_after_header(&self) -> Option<u64> {
        match self.refusal.class() {
            RefusalClass::LoginNeeded => None,
            RefusalClass::Transient => Some(self.retry_after_seconds.unwrap_or(TRANSIENT_RETRY_SECONDS)),
            RefusalClass::Misconfigured => {
                Some(self.retry_after_seconds.unwrap_or(MISCONFIGURED_RETRY_SECONDS))
            }
        }
    }

    /// The text for `error_description`.
    #[must_use]
    pub fn description(&self) -> String {
        if self.cause.is_empty() {
            self.refusal.description().to_owned()
        } else {
            format!("{}: {}", self.refusal.description(), self.cause)
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        // The engine's own message is only logged: it can contain host names.
        tracing::debug!(%error, "store error");
        Self::new(Refusal::StoreUnavailable).because(match error {
            StoreError::Unexpected { .. } => UNREADABLE.to_owned(),
            StoreError::Late { .. } | StoreError::Failed { .. } => error.cause(),
        })
    }
}
