//! Records as they lie in the store: postcard, a compact binary form, whose first byte is the record's version.
//! Digests and sealed tokens are the bytes that they are; as text a session took more than three bytes in the store for
//! each byte of its tokens.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Key, StoreError};

/// `record` as bytes. Its first field is its version, a `u8`.
///
/// # Errors
/// [`StoreError::Failed`] at `operation`; a record of plain data always serializes.
pub(crate) fn write<T: Serialize>(operation: &'static str, record: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_allocvec(record).map_err(|error| StoreError::Failed {
        operation,
        source: Box::new(error),
    })
}

/// What [`write`] made of a record of version `format`, read at `key`.
///
/// # Errors
/// [`StoreError::Unexpected`] for anything else, older records included: transient to callers, never a sign-out.
pub(crate) fn read<T: DeserializeOwned>(format: u8, key: &Key, bytes: &[u8]) -> Result<T, StoreError> {
    let unexpected = |what: &str| StoreError::Unexpected {
        key: key.clone(),
        what: what.to_owned(),
    };
    if bytes.first() != Some(&format) {
        return Err(unexpected("a record of another version of tokenward"));
    }
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Ok(record),
        _ => Err(unexpected("not a record of this kind")),
    }
}
