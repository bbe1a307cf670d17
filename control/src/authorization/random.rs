//! Random bytes.

use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
#[error("the operating system returned no random bytes")]
struct NoRandomBytes;

/// Random bytes of the operating system.
///
/// # Errors
/// [`StoreError::Failed`], as for sealing: what needs them cannot be stored.
pub(crate) fn bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], StoreError> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|_| StoreError::Failed {
        operation: "random",
        source: Box::new(NoRandomBytes),
    })?;
    Ok(bytes)
}
