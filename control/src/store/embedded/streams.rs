//! The streams of the embedded file: entries in the order of their positions, and when each stream expires.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::store::{Cursor, StreamEntry, StreamFrom};

/// (stream, position) → value. Positions grow and are never repeated in one file.
const STREAM_ENTRIES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("stream_entries");
/// stream → (entries, expiry in Unix ms). A stream exists while it has a row here.
const STREAMS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("streams");

/// The keys of a page.
type KeyRange<'a> = (Bound<(&'a str, u64)>, Bound<(&'a str, u64)>);

/// Positions of a page, and its direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    start: Bound<u64>,
    end: Bound<u64>,
    newest_first: bool,
}

impl Range {
    /// `None` for a cursor that is not a position.
    pub(super) fn of(from: StreamFrom<'_>) -> Option<Self> {
        let (cursor, newest_first) = match from {
            StreamFrom::After(cursor) => (cursor, false),
            StreamFrom::Before(cursor) => (cursor, true),
        };
        let bound = match cursor {
            None => Bound::Unbounded,
            Some(Cursor(position)) => Bound::Excluded(position.parse().ok()?),
        };
        let (start, end) = if newest_first {
            (Bound::Unbounded, bound)
        } else {
            (bound, Bound::Unbounded)
        };
        Some(Self {
            start,
            end,
            newest_first,
        })
    }

    /// The same positions in `stream`.
    fn within(self, stream: &str) -> KeyRange<'_> {
        let start = match self.start {
            Bound::Unbounded => Bound::Included((stream, 0)),
            bound => bound.map(|position| (stream, position)),
        };
        let end = match self.end {
            Bound::Unbounded => Bound::Included((stream, u64::MAX)),
            bound => bound.map(|position| (stream, position)),
        };
        (start, end)
    }
}

/// At most `limit` entries of `stream`, unless it has expired at `now_ms`.
pub(super) fn read(
    transaction: &ReadTransaction,
    stream: &str,
    range: Range,
    limit: usize,
    now_ms: u64,
) -> Result<Vec<StreamEntry>, redb::Error> {
    let row = transaction
        .open_table(STREAMS)?
        .get(stream)?
        .map(|guard| guard.value());
    if row.is_none_or(|(_, expires_ms)| expires_ms <= now_ms) {
        return Ok(Vec::new());
    }
    let entries = transaction.open_table(STREAM_ENTRIES)?;
    let mut rows = entries.range(range.within(stream))?;
    let mut page = Vec::new();
    while page.len() < limit {
        let row = if range.newest_first {
            rows.next_back()
        } else {
            rows.next()
        };
        let Some(row) = row else { break };
        let (key, value) = row?;
        page.push(StreamEntry {
            cursor: Cursor(key.value().1.to_string()),
            value: value.value().to_vec(),
        });
    }
    Ok(page)
}

/// The tables of streams, open for writing in one transaction.
pub(super) struct Streams<'txn> {
    entries: Table<'txn, (&'static str, u64), &'static [u8]>,
    streams: Table<'txn, &'static str, (u64, u64)>,
}

impl<'txn> Streams<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            entries: transaction.open_table(STREAM_ENTRIES)?,
            streams: transaction.open_table(STREAMS)?,
        })
    }

    /// The number of entries and the expiry, Unix ms.
    fn row(&self, stream: &str) -> Result<Option<(u64, u64)>, redb::Error> {
        Ok(self.streams.get(stream)?.map(|guard| guard.value()))
    }

    /// When `stream` expires, Unix ms; `None` if it does not exist.
    pub(super) fn expires_ms(&self, stream: &str) -> Result<Option<u64>, redb::Error> {
        Ok(self.row(stream)?.map(|(_, expires_ms)| expires_ms))
    }

    pub(super) fn set_expiry(&mut self, stream: &str, expires_ms: u64) -> Result<(), redb::Error> {
        let entries = self.row(stream)?.map_or(0, |(entries, _)| entries);
        self.streams.insert(stream, (entries, expires_ms))?;
        Ok(())
    }

    pub(super) fn add(&mut self, stream: &str, position: u64, value: &[u8]) -> Result<(), redb::Error> {
        self.entries.insert((stream, position), value)?;
        let (entries, expires_ms) = self.row(stream)?.unwrap_or((0, 0));
        self.streams.insert(stream, (entries + 1, expires_ms))?;
        Ok(())
    }

    /// Removes the oldest entries beyond `most`.
    pub(super) fn trim(&mut self, stream: &str, most: usize) -> Result<(), redb::Error> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let Some((mut entries, expires_ms)) = self.row(stream)? else {
            return Ok(());
        };
        while entries > most && self.remove_oldest(stream)? {
            entries -= 1;
        }
        self.streams.insert(stream, (entries, expires_ms))?;
        Ok(())
    }

    /// Removes `stream` with all its entries.
    pub(super) fn remove(&mut self, stream: &str) -> Result<(), redb::Error> {
        while self.remove_oldest(stream)? {}
        self.streams.remove(stream)?;
        Ok(())
    }

    /// Whether there was an entry.
    fn remove_oldest(&mut self, stream: &str) -> Result<bool, redb::Error> {
        let oldest = self
            .entries
            .range((stream, 0)..=(stream, u64::MAX))?
            .next()
            .transpose()?
            .map(|(key, _)| key.value().1);
        let Some(position) = oldest else {
            return Ok(false);
        };
        self.entries.remove((stream, position))?;
        Ok(true)
    }
}
