//! The encoding of records in the store: postcard, a compact binary format. The first byte is the version of the record.
//! Digests and sealed tokens are stored as raw bytes: in a text format a session took more than three bytes in the store
//! for each byte of its tokens.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::{Entry, Key, Revision, StoreError};

/// The highest first byte that can be a version: versions count up from 1, and text is not a record.
const MAX_VERSION: u8 = 31;

/// A record that cannot be decoded.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The revision at which a replacement must be written.
    pub(crate) revision: Revision,
    /// Whether a newer version of Tokenward wrote it, which can still decode it.
    pub(crate) is_newer: bool,
    /// [`StoreError::Unexpected`].
    pub(crate) error: StoreError,
}

impl Unreadable {
    /// `entry`, which does not decode as version `format` because of `error`.
    pub(crate) fn new(format: u8, entry: &Entry, error: StoreError) -> Self {
        Self {
            revision: entry.revision,
            is_newer: (entry.value.first()).is_some_and(|&first| first > format && first <= MAX_VERSION),
            error,
        }
    }
}

/// Encodes `record`. Its first field is its version, a `u8`.
///
/// # Errors
/// [`StoreError::Failed`] at `operation`; a record of plain data always serializes.
pub(crate) fn encode<T: Serialize>(operation: &'static str, record: &T) -> Result<Vec<u8>, StoreError> {
    postcard::to_allocvec(record).map_err(|error| StoreError::Failed {
        operation,
        source: Box::new(error),
    })
}

/// Decodes a record of version `format` that was read at `key`.
///
/// # Errors
/// [`StoreError::Unexpected`] for anything else, older records included. Callers treat it as transient: it never causes a
/// sign-out.
pub(crate) fn decode<T: DeserializeOwned>(format: u8, key: &Key, bytes: &[u8]) -> Result<T, StoreError> {
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

/// Decodes `entry` and returns its revision with the record.
///
/// # Errors
/// [`Unreadable`].
pub(crate) fn decode_entry<T: DeserializeOwned>(
    format: u8,
    key: &Key,
    entry: &Entry,
) -> Result<(Revision, T), Unreadable> {
    match decode(format, key, &entry.value) {
        Ok(record) => Ok((entry.revision, record)),
        Err(error) => Err(Unreadable::new(format, entry, error)),
    }
}
