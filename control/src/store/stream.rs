//! Streams: capped logs of values, in the order in which they were appended.

use std::time::Duration;

use super::Cursor;

/// What a stream retains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimit {
    /// The number of entries; an append removes the oldest beyond it. With 0 it removes the stream.
    pub entries: usize,
    /// The whole stream is gone this long after the last append.
    pub lifetime: Duration,
}

/// Where a page of a stream begins, and in which direction it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFrom<'a> {
    /// The oldest first: those appended after this entry, or all.
    After(Option<&'a Cursor>),
    /// The newest first: those appended before this entry, or all.
    Before(Option<&'a Cursor>),
}

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its position. It stays valid after the entry was removed.
    pub cursor: Cursor,
    /// The value as appended.
    pub value: Vec<u8>,
}
