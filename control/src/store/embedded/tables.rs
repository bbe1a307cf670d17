//! The tables of the embedded file, and each change to them as one step of a write transaction.
//!
//! Entries and sets with a lifetime have a row in [`EXPIRIES`], ordered by expiry, so that the cost of a sweep depends on
//! what it removes, not on the size of the file.

use std::ops::Bound;

use redb::{
    Database, MultimapTable, MultimapTableDefinition, ReadTransaction, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};

use super::change::{Change, ChangeOutcome};
use super::streams::Streams;
use crate::store::{Cursor, Entry, Expected, Key, Page, Revision, WriteOutcome};

/// Incremented when a table, or every record in them, changes its format; [`prepare`] rejects a file with another number.
const FORMAT: u64 = 2;
/// The expiry of an entry without a lifetime.
const NEVER_MS: u64 = u64::MAX;

/// key → (revision, expiry in Unix ms or [`NEVER_MS`], value).
const ENTRIES: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("entries");
/// (expiry in Unix ms, what expires, key): see [`Kind`].
const EXPIRIES: TableDefinition<'_, (u64, u8, &str), ()> = TableDefinition::new("expiries");
/// set → its members.
const MEMBERS: MultimapTableDefinition<'_, &str, &str> = MultimapTableDefinition::new("members");
/// set → expiry in Unix ms. A set exists while it has a row here.
const SETS: TableDefinition<'_, &str, u64> = TableDefinition::new("sets");
/// `format`, and `revision`: the last revision assigned to any key, so that none is assigned twice.
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
/// Exists only during [`test_write`].
const TEST: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("trial");
/// The size of several concurrent logins, so that the file must have room for more than its next record.
const TEST_BYTES: usize = 64 * 1024;

/// What expires: the second column of [`EXPIRIES`].
#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    Entry = 0,
    Set = 1,
    Stream = 2,
}

/// Creates missing tables. Returns the file's format number if it is not [`FORMAT`].
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<Option<u64>, redb::Error> {
    let mut tables = Tables::open(transaction)?;
    let format = tables.counters.get("format")?.map(|guard| guard.value());
    match format {
        Some(FORMAT) => Ok(None),
        Some(other) => Ok(Some(other)),
        None => {
            tables.counters.insert("format", FORMAT)?;
            Ok(None)
        }
    }
}

/// Writes a value and removes it again, each in a durable commit.
pub(super) fn test_write(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction
        .open_table(TEST)?
        .insert("", [0; TEST_BYTES].as_slice())?;
    transaction.commit()?;
    let transaction = database.begin_write()?;
    transaction.delete_table(TEST)?;
    transaction.commit()?;
    Ok(())
}

/// The entry at `key`, unless it is absent or expired at `now_ms`.
pub(super) fn read_entry(
    transaction: &ReadTransaction,
    key: &str,
    now_ms: u64,
) -> Result<Option<Entry>, redb::Error> {
    let entries = transaction.open_table(ENTRIES)?;
    Ok(live_entry(&entries, key, now_ms)?)
}

/// One page of the keys of `kind` after `after`: of the next `limit` rows those that have not expired at `now_ms`. The
/// cursor is the last examined key.
pub(super) fn list_entries(
    transaction: &ReadTransaction,
    kind: &str,
    after: Option<&Cursor>,
    limit: usize,
    now_ms: u64,
) -> Result<Page, redb::Error> {
    let first = Key::new(kind, "");
    // Keys are ordered by their bytes, and `;` follows `:`.
    let end = format!("{kind};");
    let start = match after {
        Some(Cursor(last)) => Bound::Excluded(last.as_str()),
        None => Bound::Included(first.as_str()),
    };
    let entries = transaction.open_table(ENTRIES)?;
    let (mut page, mut examined) = (Page::default(), 0);
    for row in entries
        .range::<&str>((start, Bound::Excluded(end.as_str())))?
        .take(limit.max(1))
    {
        let (key, row) = row?;
        let (_, expires_ms, _) = row.value();
        let Some((_, name)) = key.value().split_once(':') else {
            continue;
        };
        if expires_ms > now_ms {
            page.keys.push(Key::new(kind, name));
        }
        page.next = Some(Cursor(key.value().to_owned()));
        examined += 1;
    }
    if examined < limit.max(1) {
        page.next = None;
    }
    Ok(page)
}

/// The members of `set` at `now_ms`.
pub(super) fn read_members(
    transaction: &ReadTransaction,
    set: &str,
    now_ms: u64,
) -> Result<Vec<String>, redb::Error> {
    let expires_ms = transaction.open_table(SETS)?.get(set)?.map(|guard| guard.value());
    if expires_ms.is_none_or(|expires_ms| expires_ms <= now_ms) {
        return Ok(Vec::new());
    }
    let members = transaction.open_multimap_table(MEMBERS)?;
    let members = redb::ReadableMultimapTable::get(&members, set)?;
    members.map(|member| Ok(member?.value().to_owned())).collect()
}

fn live_entry(
    entries: &impl ReadableTable<&'static str, (u64, u64, &'static [u8])>,
    key: &str,
    now_ms: u64,
) -> Result<Option<Entry>, redb::StorageError> {
    let Some(row) = entries.get(key)? else {
        return Ok(None);
    };
    let (revision, expires_ms, value) = row.value();
    Ok((expires_ms > now_ms).then(|| Entry {
        revision: Revision(revision),
        value: value.to_vec(),
    }))
}

fn holds(expected: Expected, current: Option<&Entry>) -> bool {
    match expected {
        Expected::Any => true,
        Expected::Absent => current.is_none(),
        Expected::At(revision) => current.is_some_and(|entry| entry.revision == revision),
    }
}

/// All tables, open for writing in one transaction.
pub(super) struct Tables<'txn> {
    entries: Table<'txn, &'static str, (u64, u64, &'static [u8])>,
    expiries: Table<'txn, (u64, u8, &'static str), ()>,
    members: MultimapTable<'txn, &'static str, &'static str>,
    sets: Table<'txn, &'static str, u64>,
    streams: Streams<'txn>,
    counters: Table<'txn, &'static str, u64>,
    is_modified: bool,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            entries: transaction.open_table(ENTRIES)?,
            expiries: transaction.open_table(EXPIRIES)?,
            members: transaction.open_multimap_table(MEMBERS)?,
            sets: transaction.open_table(SETS)?,
            streams: Streams::open(transaction)?,
            counters: transaction.open_table(COUNTERS)?,
            is_modified: false,
        })
    }

    /// Whether a change has modified the tables since they were opened; if not, there is nothing to commit.
    pub(super) fn is_modified(&self) -> bool {
        self.is_modified
    }

    pub(super) fn apply(&mut self, change: &Change, now_ms: u64) -> Result<ChangeOutcome, redb::Error> {
        match change {
            Change::Write {
                key,
                expected,
                value,
                lifetime_ms,
            } => self
                .write(key, *expected, value, *lifetime_ms, now_ms)
                .map(ChangeOutcome::Write),
            Change::Delete { key, expected } => self.delete(key, *expected, now_ms).map(ChangeOutcome::Write),
            Change::AddMember {
                set,
                member,
                lifetime_ms,
            } => self
                .add_member(set, member, now_ms + lifetime_ms, now_ms)
                .map(|()| ChangeOutcome::Set),
            Change::RemoveMember { set, member } => {
                self.remove_member(set, member).map(|()| ChangeOutcome::Set)
            }
            Change::Append {
                stream,
                values,
                most,
                lifetime_ms,
            } => self
                .append(stream, values, *most, now_ms + lifetime_ms, now_ms)
                .map(|()| ChangeOutcome::Appended),
            Change::Sweep { at_most } => self.sweep(*at_most, now_ms).map(ChangeOutcome::Swept),
        }
    }

    fn write(
        &mut self,
        key: &str,
        expected: Expected,
        value: &[u8],
        lifetime_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<WriteOutcome, redb::Error> {
        let current = live_entry(&self.entries, key, now_ms)?;
        if !holds(expected, current.as_ref()) {
            return Ok(WriteOutcome::Conflict(current));
        }
        self.remove_entry(key)?;
        self.is_modified = true;
        let revision = self.next_revision()?;
        let expires_ms = lifetime_ms.map_or(NEVER_MS, |lifetime_ms| now_ms + lifetime_ms);
        self.entries.insert(key, (revision, expires_ms, value))?;
        if expires_ms != NEVER_MS {
            self.expiries.insert((expires_ms, Kind::Entry as u8, key), ())?;
        }
        Ok(WriteOutcome::Done(Revision(revision)))
    }

    fn delete(&mut self, key: &str, expected: Expected, now_ms: u64) -> Result<WriteOutcome, redb::Error> {
        let current = live_entry(&self.entries, key, now_ms)?;
        if !holds(expected, current.as_ref()) {
            return Ok(WriteOutcome::Conflict(current));
        }
        self.remove_entry(key)?;
        Ok(WriteOutcome::Done(
            current.map_or(Revision(0), |entry| entry.revision),
        ))
    }

    fn add_member(
        &mut self,
        set: &str,
        member: &str,
        expires_ms: u64,
        now_ms: u64,
    ) -> Result<(), redb::Error> {
        let mut before_ms = self.sets.get(set)?.map(|guard| guard.value());
        if before_ms.is_some_and(|before_ms| before_ms <= now_ms) {
            self.remove_set(set)?;
            before_ms = None;
        }
        self.is_modified = true;
        self.members.insert(set, member)?;
        if before_ms.is_some_and(|before_ms| before_ms >= expires_ms) {
            return Ok(());
        }
        if let Some(before_ms) = before_ms {
            self.expiries.remove((before_ms, Kind::Set as u8, set))?;
        }
        self.sets.insert(set, expires_ms)?;
        self.expiries.insert((expires_ms, Kind::Set as u8, set), ())?;
        Ok(())
    }

    fn remove_member(&mut self, set: &str, member: &str) -> Result<(), redb::Error> {
        if !self.members.remove(set, member)? {
            return Ok(());
        }
        self.is_modified = true;
        if redb::ReadableMultimapTable::get(&self.members, set)?
            .next()
            .is_none()
        {
            self.remove_set(set)?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        stream: &str,
        values: &[Vec<u8>],
        most: usize,
        expires_ms: u64,
        now_ms: u64,
    ) -> Result<(), redb::Error> {
        self.is_modified = true;
        let before_ms = self.streams.expires_ms(stream)?;
        if before_ms.is_some_and(|before_ms| before_ms <= now_ms) {
            self.streams.remove(stream)?;
        }
        for value in values {
            let position = self.next_revision()?;
            self.streams.add(stream, position, value)?;
        }
        self.streams.trim(stream, most)?;
        if let Some(before_ms) = before_ms {
            self.expiries.remove((before_ms, Kind::Stream as u8, stream))?;
        }
        self.streams.set_expiry(stream, expires_ms)?;
        self.expiries
            .insert((expires_ms, Kind::Stream as u8, stream), ())?;
        Ok(())
    }

    /// Removes at most `at_most` expired entries and sets, in order of expiry. Returns how many.
    pub(super) fn sweep(&mut self, at_most: usize, now_ms: u64) -> Result<usize, redb::Error> {
        let mut swept = 0;
        while swept < at_most {
            let Some((expires_ms, kind, key)) = self.first_expired(now_ms)? else {
                break;
            };
            // The row is removed first and in any case, so that the next iteration reads a different one.
            self.expiries.remove((expires_ms, kind, key.as_str()))?;
            self.is_modified = true;
            if kind == Kind::Set as u8 {
                self.remove_set(&key)?;
            } else if kind == Kind::Stream as u8 {
                self.streams.remove(&key)?;
            } else if live_entry(&self.entries, &key, now_ms)?.is_none() {
                self.remove_entry(&key)?;
            }
            swept += 1;
        }
        Ok(swept)
    }

    fn first_expired(&self, now_ms: u64) -> Result<Option<(u64, u8, String)>, redb::Error> {
        let Some((row, _)) = self.expiries.first()? else {
            return Ok(None);
        };
        let (expires_ms, kind, key) = row.value();
        Ok((expires_ms <= now_ms).then(|| (expires_ms, kind, key.to_owned())))
    }

    fn remove_entry(&mut self, key: &str) -> Result<(), redb::Error> {
        let Some(expires_ms) = self.entries.remove(key)?.map(|guard| guard.value().1) else {
            return Ok(());
        };
        self.is_modified = true;
        if expires_ms != NEVER_MS {
            self.expiries.remove((expires_ms, Kind::Entry as u8, key))?;
        }
        Ok(())
    }

    fn remove_set(&mut self, set: &str) -> Result<(), redb::Error> {
        self.is_modified = true;
        self.members.remove_all(set)?;
        let expires_ms = self.sets.remove(set)?.map(|guard| guard.value());
        if let Some(expires_ms) = expires_ms {
            self.expiries.remove((expires_ms, Kind::Set as u8, set))?;
        }
        Ok(())
    }

    fn next_revision(&mut self) -> Result<u64, redb::Error> {
        let last = self.counters.get("revision")?.map_or(0, |guard| guard.value());
        self.counters.insert("revision", last + 1)?;
        Ok(last + 1)
    }
}
