//! Systems without abstract sockets.

use std::path::Path;

use super::{ReloadAnswer, RequestFailed};

/// There is no such socket here.
pub(in crate::serve) struct ReloadSocket;

/// Never there.
pub(in crate::serve) enum ReloadRequest {}

impl ReloadSocket {
    pub(in crate::serve) fn open(_: &Path) -> Self {
        Self
    }

    pub(in crate::serve) async fn next(&self) -> ReloadRequest {
        std::future::pending().await
    }
}

impl ReloadRequest {
    pub(in crate::serve) async fn answer(self, _: &ReloadAnswer) {
        match self {}
    }
}

/// Not available here.
///
/// # Errors
/// [`RequestFailed::Unsupported`].
pub async fn request_reload(_: &Path) -> Result<ReloadAnswer, RequestFailed> {
    Err(RequestFailed::Unsupported)
}
