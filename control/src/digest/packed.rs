//! `#[serde(with = "digest::packed")]` for a digest that is hex in memory and 32 bytes in a record.

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

type Bytes = [u8; 32];

fn pack<S: Serializer>(digest: &str) -> Result<Bytes, S::Error> {
    super::bytes(digest).ok_or_else(|| S::Error::custom("not a digest"))
}

pub(crate) fn serialize<S: Serializer>(digest: &str, serializer: S) -> Result<S::Ok, S::Error> {
    pack::<S>(digest)?.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Bytes::deserialize(deserializer).map(|bytes| super::hex(&bytes))
}

/// The same for an optional digest.
pub(crate) mod option {
    use super::{Bytes, Deserialize as _, Deserializer, Serialize as _, Serializer, pack};

    pub(crate) fn serialize<S: Serializer>(
        digest: &Option<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        digest
            .as_deref()
            .map(pack::<S>)
            .transpose()?
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        Ok(Option::<Bytes>::deserialize(deserializer)?.map(|bytes| crate::digest::hex(&bytes)))
    }
}

/// The same for a list of digests.
pub(crate) mod list {
    use super::{Bytes, Deserialize as _, Deserializer, Serializer, pack};

    pub(crate) fn serialize<S: Serializer>(digests: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        let packed = digests.iter().map(|digest| pack::<S>(digest));
        serializer.collect_seq(packed.collect::<Result<Vec<Bytes>, _>>()?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        let packed = Vec::<Bytes>::deserialize(deserializer)?;
        Ok(packed.iter().map(|bytes| crate::digest::hex(bytes)).collect())
    }
}
