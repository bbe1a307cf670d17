//! Records as they lie in the store: postcard, a compact binary form, whose first byte is the record's version.
//! Digests and sealed tokens are the bytes that they are; as text a session took more than three bytes in the store for
//! each byte of its tokens.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Entry, Key, Revision, StoreError};

/// The highest first byte that can be a version: they count up from 1, and text is no record.
const HIGHEST_VERSION: u8 = 31;

/// What lies at a key and cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// Who takes its place does so on this revision.
    pub(crate) revision: Revision,
    /// A newer version wrote it, and can read it still.
    pub(crate) is_newer: bool,
    /// [`StoreError::Unexpected`].
    pub(crate) why: StoreError,
}

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

/// The same of an `entry`, with its revision.
///
/// # Errors
/// [`Unreadable`].
pub(crate) fn read_entry<T: DeserializeOwned>(
    format: u8,
    key: &Key,
    entry: &Entry,
) -> Result<(Revision, T), Unreadable> {
    let revision = entry.revision;
    match read(format, key, &entry.value) {
        Ok(record) => Ok((revision, record)),
        Err(why) => Err(Unreadable {
            revision,
            is_newer: (entry.value.first()).is_some_and(|&first| first > format && first <= HIGHEST_VERSION),
            why,
        }),
    }
}
