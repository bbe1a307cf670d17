//! Decoding of Valkey's replies. A reply of an unexpected shape is an error that describes the shape and never contains the
//! bytes: they may be a sealed token.

use redis::Value;

use super::compact;
use crate::store::{Entry, Lineage, Revision, WriteOutcome};

/// What is wrong with a reply, for `StoreError::Unexpected`.
pub(super) type Malformed = &'static str;

/// A stored value as an entry; `None` if there is none.
pub(super) fn entry(reply: Value) -> Result<Option<Entry>, Malformed> {
    let stored = match reply {
        Value::Nil => return Ok(None),
        Value::BulkString(stored) => stored,
        _ => return Err("the record is not a string"),
    };
    let (revision, value) = stored
        .split_first_chunk()
        .ok_or("the record is too short for a revision")?;
    Ok(Some(Entry {
        revision: decode_revision(*revision)?,
        value: value.to_vec(),
    }))
}

/// The reply of the write and delete scripts.
pub(super) fn outcome(reply: Value) -> Result<WriteOutcome, Malformed> {
    let Value::Array(fields) = reply else {
        return Err("the script did not return a list");
    };
    let mut fields = fields.into_iter();
    match (fields.next(), fields.next(), fields.next()) {
        (Some(Value::Int(1)), Some(Value::BulkString(revision)), None) => {
            let revision = revision
                .try_into()
                .map_err(|_| "the revision does not have 8 bytes")?;
            decode_revision(revision).map(WriteOutcome::Done)
        }
        (Some(Value::Int(0)), Some(current), None) => entry(current).map(WriteOutcome::Conflict),
        _ => Err("the script's reply is neither an outcome nor a conflict"),
    }
}

/// The members of a set, RESP2 or RESP3.
pub(super) fn members(reply: Value) -> Result<Vec<String>, Malformed> {
    let (Value::Array(members) | Value::Set(members)) = reply else {
        return Err("SMEMBERS did not return a set");
    };
    members
        .into_iter()
        .map(|member| match member {
            Value::BulkString(bytes) => String::from_utf8(bytes)
                .map(compact::decode)
                .map_err(|_| "a member of the set is not text"),
            _ => Err("a member of the set is not text"),
        })
        .collect()
}

/// The reply of the lease script: `None` if the lease was acquired, else the milliseconds until it expires.
pub(super) fn lease(reply: &Value) -> Result<Option<u64>, Malformed> {
    let Value::Array(fields) = reply else {
        return Err("the lease script did not return a list");
    };
    match fields.as_slice() {
        [Value::Int(1), _] => Ok(None),
        [Value::Int(0), Value::Int(remaining_ms)] => u64::try_from(*remaining_ms)
            .map(Some)
            .map_err(|_| "the lease has no expiry"),
        _ => Err("the lease script's reply is neither acquired nor held"),
    }
}

/// The reply of the lineage script; `None` for an empty text: the user may not run `INFO`.
pub(super) fn lineage(reply: Value) -> Result<Option<Lineage>, Malformed> {
    let Value::BulkString(name) = reply else {
        return Err("the lineage script did not return text");
    };
    let name = String::from_utf8(name).map_err(|_| "the lineage is not text")?;
    Ok((!name.is_empty()).then_some(Lineage(name)))
}

/// A reply of 1 or 0.
pub(super) fn flag(reply: &Value) -> Result<bool, Malformed> {
    match reply {
        Value::Int(1) => Ok(true),
        Value::Int(0) => Ok(false),
        _ => Err("the reply is neither 0 nor 1"),
    }
}

/// A revision stays below 2^56 for two thousand years; a larger number is not a revision.
fn decode_revision(bytes: [u8; 8]) -> Result<Revision, Malformed> {
    match bytes {
        [0, ..] => Ok(Revision(u64::from_be_bytes(bytes))),
        _ => Err("the record does not begin with a revision"),
    }
}
