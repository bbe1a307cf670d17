//! Why a client is not accepted, by cause, and the refusal that follows.

use std::time::Duration;

use super::assertion::BadAssertion;
use super::metadata_document::DocumentError;
use super::registration::NotRegistered;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::authorization::source::SourceLimited;
use crate::store::StoreError;

/// Why a client is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No configured client has this id, and it is neither the URL of a document nor a registration.
    #[error("no client has this client_id")]
    Unknown,
    /// It is no valid registration.
    #[error(transparent)]
    Registration(#[from] NotRegistered),
    /// Its metadata document, or the keys that it names, are not there or not believed.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its source has used up an allowance.
    #[error(transparent)]
    Source(#[from] SourceLimited),
    /// Another client than that of the login.
    #[error("client_id is missing or is not the one of the login")]
    WrongClient,
    /// A public client sent a secret: its user takes it for a confidential one.
    #[error("this client has no secret; send client_id alone")]
    Secret,
    /// A public client sent an assertion, or one with keys sent none.
    #[error("this client authenticates by another method")]
    Method,
    /// Its assertion is not accepted.
    #[error(transparent)]
    Assertion(#[from] BadAssertion),
    /// The store does not answer, so an assertion cannot be marked as used.
    #[error("the store does not answer")]
    Store(StoreError),
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl ClientError {
    /// The refusal that follows.
    #[must_use]
    pub fn refusal(&self) -> AuthorizationRefusal {
        use AuthorizationRefusal as Refusal;
        match self {
            Self::Unknown => Refusal::UnknownClient,
            Self::Registration(NotRegistered::Off) => Refusal::ClientNotAllowed,
            Self::Registration(_) => Refusal::UnknownClient,
            Self::Document(error) => of_document(error),
            Self::Source(_) => Refusal::TooMany,
            Self::WrongClient | Self::Secret | Self::Method | Self::Assertion(_) => Refusal::ClientRejected,
            Self::Store(_) => Refusal::StoreUnavailable,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Source(limited) | Self::Document(DocumentError::Source(limited)) => {
                Some(limited.retry_after)
            }
            Self::Document(DocumentError::Paused { retry_after, .. }) => Some(*retry_after),
            _ => None,
        }
    }
}

fn of_document(error: &DocumentError) -> AuthorizationRefusal {
    use super::metadata_document::fetch::FetchError;
    use AuthorizationRefusal as Refusal;
    match error {
        DocumentError::Host { .. } => Refusal::ClientNotAllowed,
        DocumentError::Url(_) | DocumentError::Fetch(FetchError::Address) => Refusal::ClientDocumentRefused,
        // What is served there is not a document, and waiting does not make it one.
        DocumentError::Bad(_)
        | DocumentError::Fetch(FetchError::Redirect | FetchError::NotJson | FetchError::TooLong) => {
            Refusal::ClientDocumentInvalid
        }
        DocumentError::Fetch(_) => Refusal::ClientDocumentUnavailable,
        DocumentError::Paused { error, .. } => of_document(error),
        DocumentError::Busy => Refusal::Busy,
        DocumentError::Source(_) => Refusal::TooMany,
    }
}

impl From<ClientError> for AuthorizationRefused {
    fn from(error: ClientError) -> Self {
        let (refusal, retry_after) = (error.refusal(), error.retry_after());
        let refused = match error {
            ClientError::Store(error) => return error.into(),
            error => Self::new(refusal).because(error.to_string()),
        };
        match retry_after {
            Some(wait) => refused.retry_after(wait),
            None => refused,
        }
    }
}
