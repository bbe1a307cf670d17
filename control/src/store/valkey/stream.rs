//! Pages of a stream: `XRANGE` and `XREVRANGE`.

use redis::{Cmd, Value, cmd};

use super::reply::Malformed;
use crate::store::{Cursor, StreamEntry, StreamFrom};

/// The command that reads at most `limit` entries of the stream at `key`.
pub(super) fn page_command(key: &str, from: StreamFrom<'_>, limit: usize) -> Result<Cmd, Malformed> {
    let (name, cursor, open_start, end) = match from {
        StreamFrom::After(cursor) => ("XRANGE", cursor, "-", "+"),
        StreamFrom::Before(cursor) => ("XREVRANGE", cursor, "+", "-"),
    };
    let start = match cursor {
        None => open_start.to_owned(),
        Some(Cursor(id)) if is_id(id) => format!("({id}"),
        Some(_) => return Err("the cursor is not one of this store"),
    };
    let mut command = cmd(name);
    command.arg(key).arg(start).arg(end).arg("COUNT").arg(limit);
    Ok(command)
}

/// Whether `id` has the form of an entry's id: `MILLISECONDS-SEQUENCE`.
fn is_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(milliseconds, sequence)| {
        milliseconds.parse::<u64>().is_ok() && sequence.parse::<u64>().is_ok()
    })
}

/// The entries of a reply.
pub(super) fn entries(reply: Value) -> Result<Vec<StreamEntry>, Malformed> {
    let Value::Array(rows) = reply else {
        return Err("the page of a stream is not a list");
    };
    rows.into_iter().map(entry).collect()
}

fn entry(row: Value) -> Result<StreamEntry, Malformed> {
    const MALFORMED: Malformed = "an entry of the stream is not an id and one value";
    let Value::Array(row) = row else {
        return Err(MALFORMED);
    };
    let [Value::BulkString(id), Value::Array(fields)] = row.as_slice() else {
        return Err(MALFORMED);
    };
    let [_, Value::BulkString(value)] = fields.as_slice() else {
        return Err(MALFORMED);
    };
    Ok(StreamEntry {
        cursor: Cursor(String::from_utf8(id.clone()).map_err(|_| MALFORMED)?),
        value: value.clone(),
    })
}
