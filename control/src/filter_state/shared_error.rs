//! One failure of the store, returned to every request that waited for the same operation.

use std::sync::Arc;

use crate::store::StoreError;

/// A failure that several requests share.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub(super) struct SharedError(Arc<StoreError>);

impl From<StoreError> for SharedError {
    fn from(error: StoreError) -> Self {
        Self(Arc::new(error))
    }
}

impl SharedError {
    /// The failure for one of the requests, of `operation`.
    pub(super) fn of(self, operation: &'static str) -> StoreError {
        match &*self.0 {
            StoreError::Late { operation, deadline } => StoreError::Late {
                operation,
                deadline: *deadline,
            },
            StoreError::Unexpected { key, what } => StoreError::Unexpected {
                key: key.clone(),
                what: what.clone(),
            },
            StoreError::Failed { .. } => StoreError::Failed {
                operation,
                source: Box::new(self),
            },
        }
    }
}
