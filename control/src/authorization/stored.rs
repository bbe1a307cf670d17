//! Records of logins in the store: one sealed value each, so that a reader of the store learns nothing but their number.

use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::record::codec;
use crate::record::keyring::KeyRing;
use crate::record::sealed::{self, Sealed};
use crate::store::{Key, StoreError};

const FORMAT: u8 = 1;
/// The field for which the content is sealed.
const CONTENT: &str = "content";

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    format: u8,
    content: Sealed,
}

/// Encodes and seals `content` for the record at `key`.
///
/// # Errors
/// [`StoreError::Failed`] without random bytes.
pub fn to_bytes<T: Serialize>(ring: &KeyRing, key: &Key, content: &T) -> Result<Vec<u8>, StoreError> {
    let failed = |source: serde_json::Error| StoreError::Failed {
        operation: "serialize login",
        source: Box::new(source),
    };
    let json = serde_json::to_string(content).map_err(failed)?;
    let record = StoredRecord {
        format: FORMAT,
        content: sealed::seal(ring, key, CONTENT, &json.into())?,
    };
    codec::encode("serialize login", &record)
}

/// Opens what [`to_bytes`] made.
///
/// # Errors
/// [`StoreError::Unexpected`] for anything else.
pub fn from_bytes<T: DeserializeOwned>(ring: &KeyRing, key: &Key, bytes: &[u8]) -> Result<T, StoreError> {
    let record: StoredRecord = codec::decode(FORMAT, key, bytes)?;
    let json = sealed::open(ring, key, CONTENT, &record.content)?;
    serde_json::from_str(json.expose_secret()).map_err(|_| StoreError::Unexpected {
        key: key.clone(),
        what: "not the content of this kind of record".to_owned(),
    })
}
