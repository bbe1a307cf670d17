//! What a relayed request makes control hold.

/// Accounts for the bytes that a relayed request makes control hold, until it is dropped.
pub(crate) trait Account: Send + Sync {
    /// Accounts for `bytes` more; `false` if there is no room for them.
    fn take(&self, bytes: usize) -> bool;
}
