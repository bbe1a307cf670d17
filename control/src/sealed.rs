//! Tokens inside records: sealed, as text, each bound to its record and its field.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::seal::KeyRing;
use crate::store::{Key, StoreError};

/// A sealed token inside a JSON record.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

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
    Ok(Sealed(STANDARD_NO_PAD.encode(bytes)))
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
    let bytes = STANDARD_NO_PAD
        .decode(&sealed.0)
        .map_err(|_| unexpected(format!("{field} is not base64")))?;
    let token = ring
        .open(&place(key, field), &bytes)
        .map_err(|error| unexpected(format!("{field} does not open: {error}")))?;
    let text =
        std::str::from_utf8(token.expose_secret()).map_err(|_| unexpected(format!("{field} is not text")))?;
    Ok(text.into())
}
