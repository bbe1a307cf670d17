//! Listing of the records of one kind with `SCAN`: one call per page, in a Cluster one primary after another.

use std::collections::BTreeMap;

use redis::Value;

use super::compact;
use super::reply::Malformed;
use crate::store::Cursor;

/// The position at which a listing continues: `SCAN`'s cursor at the primary with the lowest slot `slot`. Without a Cluster
/// the slot is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) slot: u16,
    pub(super) cursor: u64,
}

impl Position {
    /// Decodes the output of [`Cursor::from`]; without a cursor, the beginning.
    pub(super) fn decode(cursor: Option<&Cursor>) -> Result<Self, Malformed> {
        let Some(Cursor(text)) = cursor else {
            return Ok(Self::default());
        };
        text.split_once('-')
            .and_then(|(slot, cursor)| {
                Some(Self {
                    slot: slot.parse().ok()?,
                    cursor: cursor.parse().ok()?,
                })
            })
            .ok_or("the cursor is not one of this store")
    }
}

impl From<Position> for Cursor {
    fn from(position: Position) -> Self {
        Self(format!("{}-{}", position.slot, position.cursor))
    }
}

/// The `MATCH` pattern for keys that begin with `start`.
pub(super) fn pattern(start: &str) -> String {
    let mut pattern = String::with_capacity(start.len() + 2);
    for letter in start.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('*');
    pattern
}

/// The reply to `SCAN`: its next cursor, 0 at the end, and the stored keys. A key that is not text belongs to another
/// program and is left out.
pub(super) fn scan_reply(reply: Value) -> Result<(u64, Vec<String>), Malformed> {
    let malformed = "SCAN did not return a cursor and a list";
    let Value::Array(fields) = reply else {
        return Err(malformed);
    };
    let mut fields = fields.into_iter();
    let (Some(Value::BulkString(cursor)), Some(Value::Array(keys))) = (fields.next(), fields.next()) else {
        return Err(malformed);
    };
    let cursor = std::str::from_utf8(&cursor)
        .ok()
        .and_then(|text| text.parse().ok());
    let texts = keys.into_iter().filter_map(|key| match key {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    });
    Ok((cursor.ok_or(malformed)?, texts.collect()))
}

/// The names of the records among `stored` whose keys begin with `start`.
pub(super) fn names(stored: Vec<String>, start: &str) -> impl Iterator<Item = String> {
    stored.into_iter().filter_map(move |key| {
        let name = key.strip_prefix(start)?.strip_suffix('}')?;
        Some(compact::decode(name.to_owned()))
    })
}

/// The lowest slot of each primary, ascending, from the reply to `CLUSTER SLOTS`. A primary can serve several ranges.
pub(super) fn primaries(reply: &Value) -> Result<Vec<u16>, Malformed> {
    let malformed = "CLUSTER SLOTS did not return ranges";
    let Value::Array(ranges) = reply else {
        return Err(malformed);
    };
    let mut lowest_by_node: BTreeMap<String, u16> = BTreeMap::new();
    for range in ranges {
        let Value::Array(range) = range else {
            return Err(malformed);
        };
        let [Value::Int(first), Value::Int(_), Value::Array(primary), ..] = range.as_slice() else {
            return Err(malformed);
        };
        let first = u16::try_from(*first).map_err(|_| malformed)?;
        // Host, port and, since version 4, the node's id.
        let node = format!("{:?}", primary.get(..3).unwrap_or(primary));
        let lowest = lowest_by_node.entry(node).or_insert(first);
        *lowest = first.min(*lowest);
    }
    let mut lowest: Vec<u16> = lowest_by_node.into_values().collect();
    lowest.sort_unstable();
    Ok(lowest)
}

#[cfg(test)]
mod tests;
