//! Sealed tokens inside records, each bound to its record and its field.

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::codec;
use crate::record::keyring::KeyRing;
use crate::store::{Key, StoreError};

/// A sealed token inside a record.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(Vec<u8>);

impl From<Vec<u8>> for Sealed {
    /// Wraps the output of [`KeyRing::seal`].
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

/// The associated data of a field: a token that was sealed for one field of one record does not open elsewhere.
fn associated_data(key: &Key, field: &str) -> String {
    format!("{key}#{field}")
}

/// Seals `token` for `field` of the record at `key`.
///
/// # Errors
/// [`StoreError::Failed`] if the system has no random bytes. It has the same effect as a missing store, since no token can
/// be stored.
pub fn seal(ring: &KeyRing, key: &Key, field: &str, token: &SecretString) -> Result<Sealed, StoreError> {
    seal_bytes(ring, key, field, token.expose_secret().as_bytes())
}

/// Seals all of `value`, for a part of a record that names a user or holds several secrets.
///
/// # Errors
/// As [`seal`].
pub(crate) fn seal_value<T: Serialize>(
    ring: &KeyRing,
    key: &Key,
    field: &str,
    value: &T,
) -> Result<Sealed, StoreError> {
    let bytes = Zeroizing::new(codec::encode("serialize sealed value", value)?);
    seal_bytes(ring, key, field, &bytes)
}

fn seal_bytes(ring: &KeyRing, key: &Key, field: &str, bytes: &[u8]) -> Result<Sealed, StoreError> {
    let sealed = ring.seal(&associated_data(key, field), bytes);
    sealed.map(Sealed).map_err(|error| StoreError::Failed {
        operation: "seal",
        source: Box::new(error),
    })
}

/// Whether the current key sealed `sealed`. If not, an older key must stay configured for its record.
#[must_use]
pub fn is_current(ring: &KeyRing, sealed: &Sealed) -> bool {
    ring.is_current(&sealed.0)
}

/// Opens `sealed` of `field` of the record at `key`.
///
/// # Errors
/// [`StoreError::Unexpected`] if it does not open: another key, another record or field, or changed bytes. Callers treat it
/// as transient: a previous key missing from the configuration must not sign users out.
pub fn open(ring: &KeyRing, key: &Key, field: &str, sealed: &Sealed) -> Result<SecretString, StoreError> {
    let unexpected = |what: String| StoreError::Unexpected {
        key: key.clone(),
        what,
    };
    let token = ring
        .open(&associated_data(key, field), &sealed.0)
        .map_err(|error| unexpected(format!("{field} does not open: {error}")))?;
    let text =
        std::str::from_utf8(token.expose_secret()).map_err(|_| unexpected(format!("{field} is not text")))?;
    Ok(text.into())
}

/// Opens what [`seal_value`] sealed.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_value<T: DeserializeOwned>(
    ring: &KeyRing,
    key: &Key,
    field: &str,
    sealed: &Sealed,
) -> Result<T, StoreError> {
    let unexpected = |what: String| StoreError::Unexpected {
        key: key.clone(),
        what,
    };
    let bytes = ring
        .open(&associated_data(key, field), &sealed.0)
        .map_err(|error| unexpected(format!("{field} does not open: {error}")))?;
    postcard::from_bytes(bytes.expose_secret())
        .map_err(|_| unexpected(format!("{field} is not what this version seals")))
}
