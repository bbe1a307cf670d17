//! Errors of a store: one type for both engines, with a cause for callers and a hint for operators.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use super::key::Key;

/// Why an operation of the store has no result. Whether a write that ended so took effect is unknown.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operation missed its deadline.
    #[error("the store did not answer {operation} within {deadline:?}")]
    Late {
        /// The operation.
        operation: &'static str,
        /// The configured deadline.
        deadline: Duration,
    },
    /// The store is unreachable, refuses the operation or fails.
    #[error("the store failed at {operation}: {source}")]
    Failed {
        /// The operation.
        operation: &'static str,
        /// The engine's own error. It contains no value and no password.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store returned a record or a reply that this version cannot decode.
    #[error("the store holds something unexpected at {key}: {what}")]
    Unexpected {
        /// The record's key.
        key: Key,
        /// What is wrong with it.
        what: String,
    },
}

impl StoreError {
    /// The cause in a form that may leave the process: it contains no host, no path and no value. The engine's own message
    /// ([`std::fmt::Display`]) is for the log only.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Late { deadline, .. } => format!("it did not answer within {} ms", deadline.as_millis()),
            Self::Unexpected { .. } => "it answers something unexpected".to_owned(),
            Self::Failed { .. } => self.engine_error().map_or_else(
                || "it cannot be reached, or refuses the operation".to_owned(),
                |error| error.cause.clone().into_owned(),
            ),
        }
    }

    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Late { .. } => {
                "check the store's load, place it closer to control, or raise store.deadline"
            }
            Self::Unexpected { .. } => "let no other program write under store.valkey.key_prefix",
            Self::Failed { .. } => self
                .engine_error()
                .and_then(|error| error.hint)
                .unwrap_or("check the store's log, its disk and its memory"),
        }
    }

    /// Whether the store answers and does not permit the operation to control's user.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.engine_error().is_some_and(|error| error.is_denied)
    }

    fn engine_error(&self) -> Option<&EngineError> {
        match self {
            Self::Failed { source, .. } => source.downcast_ref(),
            Self::Late { .. } | Self::Unexpected { .. } => None,
        }
    }
}

/// The error of a store engine: the source of [`StoreError::Failed`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct EngineError {
    /// For the log. Contains no value and no password.
    pub(super) message: String,
    /// For callers: contains no host and no path.
    pub(super) cause: Cow<'static, str>,
    /// What an operator can do, where the engine has a specific hint.
    pub(super) hint: Option<&'static str>,
    /// Whether the engine answers and does not permit the operation.
    pub(super) is_denied: bool,
}

/// Why the store is not ready for requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotReady {
    /// For callers: [`StoreError::cause`].
    pub cause: String,
    /// For the log: the engine's own message.
    pub message: String,
}

impl From<&StoreError> for NotReady {
    fn from(error: &StoreError) -> Self {
        Self {
            cause: error.cause(),
            message: error.to_string(),
        }
    }
}
