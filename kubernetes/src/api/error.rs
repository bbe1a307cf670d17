//! Why the API server gave no answer.

use kube::Error;
use kube::core::Status;

use crate::text::shortened;

/// The longest text of an error, in bytes.
const MAX_BYTES: usize = 300;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 404: the object, or the kind.
    #[error("not found")]
    NotFound,
    /// 410: the resource version is too old; the list must be read again.
    #[error("the resource version is too old")]
    Expired,
    /// 401 or 403: what RBAC does not allow.
    #[error("not allowed: {0}")]
    Denied(String),
    /// 409: the object exists, or was changed meanwhile.
    #[error("changed meanwhile")]
    Conflict,
    /// No answer, or none that is understood.
    #[error("{0}")]
    Failed(String),
}

impl ApiError {
    /// By the status that the API server answered with.
    pub(super) fn of_status(status: &Status) -> Self {
        let message = || shortened(&status.message, MAX_BYTES);
        match status.code {
            404 => Self::NotFound,
            410 => Self::Expired,
            401 | 403 => Self::Denied(message()),
            409 => Self::Conflict,
            code => Self::Failed(format!("{code}: {}", message())),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => Self::of_status(&status),
            other => {
                // The cause is in the chain: "connection refused" is what an operator needs.
                let mut text = other.to_string();
                let mut source = std::error::Error::source(&other);
                while let Some(cause) = source {
                    let cause_text = cause.to_string();
                    if !text.contains(&cause_text) {
                        text.push_str(": ");
                        text.push_str(&cause_text);
                    }
                    source = cause.source();
                }
                Self::Failed(shortened(&text, MAX_BYTES))
            }
        }
    }
}
