//! Replay protection for logout tokens: records each `jti` that was used (OpenID Connect Back-Channel Logout 1.0 §2.6).

use std::time::Duration;

use super::Sessions;
use crate::digest;
use crate::store::{Expected, Key, StoreError};

fn key(issuer: &str, token_id: &str) -> Key {
    Key::new("logout", &digest::hex_of_parts(&[issuer, token_id]))
}

impl Sessions {
    /// Whether the logout token with this `jti` of `issuer` was used before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_logout_token_used(&self, issuer: &str, token_id: &str) -> Result<bool, StoreError> {
        Ok(self.context.store.read(&key(issuer, token_id)).await?.is_some())
    }

    /// Records for `lifetime` that the logout token with this `jti` of `issuer` was used.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_logout_token(
        &self,
        issuer: &str,
        token_id: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        self.context
            .store
            .write(&key(issuer, token_id), Expected::Any, b"1", Some(lifetime))
            .await
            .map(drop)
    }
}
