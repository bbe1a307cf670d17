//! Tokens inside records: sealed, each bound to its record and its field.

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::keyring::KeyRing;
use crate::store::{Key, StoreError};

/// A sealed token inside a record.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(Vec<u8>);

impl From<Vec<u8>> for Sealed {
    /// Bytes that a [`KeyRing`] sealed.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes)
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Sealed;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("sealed bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Sealed, E> {
        Ok(Sealed(bytes.to_vec()))
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sealed")
    }
}

/// The associated data: what is sealed for one field of one record opens nowhere else.
fn place(key: &Key, field: &str) -> String {
    format!("{key}#{field}")
}

/// Seals `token` for `field` of the record at `key`.
///
/// # Errors
/// [`StoreError::Failed`] when the system has no randomness: as good as no store, since nothing can be kept.
pub fn seal(ring: &KeyRing, key: &Key, field: &str, token: &SecretString) -> Result<Sealed, StoreError> {
    let bytes = ring
        .seal(&place(key, field), token.expose_secret().as_bytes())
        .map_err(|error| StoreError::Failed {
            operation: "seal",
            source: Box::new(error),
        })?;
    Ok(Sealed(bytes))
}

/// Whether `sealed` is sealed by the current key: if not, the record that holds it keeps an older key needed.
#[must_use]
pub fn is_current(ring: &KeyRing, sealed: &Sealed) -> bool {
    ring.is_current(&sealed.0)
}

/// Opens `sealed` of `field` of the record at `key`.
///
/// # Errors
/// [`StoreError::Unexpected`] when it does not open: another key, another place, or changed bytes. Transient to
/// callers: a forgotten previous key must not sign anybody out.
pub fn open(ring: &KeyRing, key: &Key, field: &str, sealed: &Sealed) -> Result<SecretString, StoreError> {
    let unexpected = |what: String| StoreError::Unexpected {
        key: key.clone(),
        what,
    };
    let token = ring
        .open(&place(key, field), &sealed.0)
        .map_err(|error| unexpected(format!("{field} does not open: {error}")))?;
    let text =
        std::str::from_utf8(token.expose_secret()).map_err(|_| unexpected(format!("{field} is not text")))?;
    Ok(text.into())
}
