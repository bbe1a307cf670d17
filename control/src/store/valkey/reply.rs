//! Reading what Valkey answered. A reply of another shape is an error that names the shape and never the bytes:
//! they may be a sealed token.

use redis::Value;

use super::short::long;
use crate::store::{Entry, Lineage, Revision, WriteOutcome};

/// What is wrong with a reply, for `StoreError::Unexpected`.
pub(super) type Misshapen = &'static str;

/// A kept value as it lies there, or nothing: an entry.
pub(super) fn entry(reply: Value) -> Result<Option<Entry>, Misshapen> {
    let kept = match reply {
        Value::Nil => return Ok(None),
        Value::BulkString(kept) => kept,
        _ => return Err("the record is no string"),
    };
    let (revision, value) = kept
        .split_first_chunk()
        .ok_or("the record is too short for a revision")?;
    Ok(Some(Entry {
        revision: read_revision(*revision)?,
        value: value.to_vec(),
    }))
}

/// The answer of the write and delete scripts.
pub(super) fn outcome(reply: Value) -> Result<WriteOutcome, Misshapen> {
    let Value::Array(fields) = reply else {
        return Err("the script did not answer with a list");
    };
    let mut fields = fields.into_iter();
    match (fields.next(), fields.next(), fields.next()) {
        (Some(Value::Int(1)), Some(Value::BulkString(revision)), None) => {
            let revision = revision
                .try_into()
                .map_err(|_| "the revision is not of 8 bytes")?;
            read_revision(revision).map(WriteOutcome::Done)
        }
        (Some(Value::Int(0)), Some(instead), None) => entry(instead).map(WriteOutcome::Conflict),
        _ => Err("the script's answer is neither an outcome nor a conflict"),
    }
}

/// The members of a set, RESP2 or RESP3.
pub(super) fn members(reply: Value) -> Result<Vec<String>, Misshapen> {
    let (Value::Array(members) | Value::Set(members)) = reply else {
        return Err("SMEMBERS did not answer with a set");
    };
    members
        .into_iter()
        .map(|member| match member {
            Value::BulkString(bytes) => String::from_utf8(bytes)
                .map(long)
                .map_err(|_| "a member of the set is no text"),
            _ => Err("a member of the set is no text"),
        })
        .collect()
}

/// The answer of the lease script: `None` when it was acquired, else the milliseconds that it is still held.
pub(super) fn lease(reply: &Value) -> Result<Option<u64>, Misshapen> {
    let Value::Array(fields) = reply else {
        return Err("the lease script did not answer with a list");
    };
    match fields.as_slice() {
        [Value::Int(1), _] => Ok(None),
        [Value::Int(0), Value::Int(left_ms)] => u64::try_from(*left_ms)
            .map(Some)
            .map_err(|_| "the lease has no expiry"),
        _ => Err("the lease script's answer is neither acquired nor held"),
    }
}

/// The answer of the lineage script; an empty text: the server does not let us know.
pub(super) fn lineage(reply: Value) -> Result<Option<Lineage>, Misshapen> {
    let Value::BulkString(name) = reply else {
        return Err("the lineage script did not answer with a text");
    };
    let name = String::from_utf8(name).map_err(|_| "the lineage is no text")?;
    Ok((!name.is_empty()).then_some(Lineage(name)))
}

/// 1 or 0.
pub(super) fn flag(reply: &Value) -> Result<bool, Misshapen> {
    match reply {
        Value::Int(1) => Ok(true),
        Value::Int(0) => Ok(false),
        _ => Err("the script did not answer 0 or 1"),
    }
}

/// A revision stays below 2^56 for two thousand years; what does not is not ours.
fn read_revision(bytes: [u8; 8]) -> Result<Revision, Misshapen> {
    match bytes {
        [0, ..] => Ok(Revision(u64::from_be_bytes(bytes))),
        _ => Err("the record does not begin with a revision"),
    }
}
