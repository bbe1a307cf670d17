//! The format of one slot: a version byte, and records one after the other.

use super::record::{GATE_BYTES, MOST_GATES, RECORD_BYTES, Record, Spans, Worth};

/// Number of slots in shared data.
pub const SLOTS: u16 = 2048;
/// Pairs that one slot has places for. A digest with a secret salt assigns pairs to slots, so with [`CAPACITY`] pairs the
/// fullest slot has 20 or so; that a pair finds no place is one chance in five hundred.
pub const PLACES: usize = 24;
/// Failing pairs that all find a place.
pub const CAPACITY: usize = 16_384;
/// The largest slot; [`SLOTS`] of them are 9.7 MB, for the whole Envoy. A pair with one refused token takes 88 bytes.
pub const MOST_BYTES: usize = 1 + PLACES * (RECORD_BYTES + MOST_GATES * GATE_BYTES);
/// Raised whenever the layout changes; a slot of another version counts as empty and is overwritten.
const VERSION: u8 = 2;
/// A record that has been idle for so long, in milliseconds, gives its place up when its slot is written.
const IDLE_RECORD_MS: u64 = 900_000;

/// One slot's records, as bytes: a request reads one of them, and most of the others are never decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The version, and whole records.
    bytes: Vec<u8>,
}

impl Default for Slot {
    fn default() -> Self {
        Self { bytes: vec![VERSION] }
    }
}

impl Slot {
    /// Reads a slot. Bytes of another version or of no whole records count as an empty slot: that costs at most a call and a
    /// WARN of each pair.
    #[must_use]
    pub fn decode(bytes: Vec<u8>) -> Self {
        let slot = Self { bytes };
        let is_whole =
            slot.records().count() <= PLACES && slot.records().all(|(_, record)| Record::is_whole(record));
        if slot.bytes.first() == Some(&VERSION) && slot.bytes.len() <= MOST_BYTES && is_whole {
            slot
        } else {
            Self::default()
        }
    }

    /// The slot as bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes of each record, and where they begin. A record that is cut off at the end is returned as it is.
    fn records(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut at = 1;
        std::iter::from_fn(move || {
            let rest = self.bytes.get(at..).filter(|rest| !rest.is_empty())?;
            let length = Record::length(rest).min(rest.len());
            let found = (at, rest.get(..length)?);
            at = at.saturating_add(length);
            Some(found)
        })
    }

    fn place_of(&self, key: &[u8; 16]) -> Option<(usize, &[u8])> {
        self.records().find(|(_, record)| record.starts_with(key))
    }

    /// The record of a pair.
    #[must_use]
    pub fn record(&self, key: &[u8; 16]) -> Option<Record> {
        let (_, record) = self.place_of(key)?;
        Record::decode(record)
    }

    /// Removes the record of a pair. Whether there was one.
    pub fn remove(&mut self, key: &[u8; 16]) -> bool {
        let place = self.place_of(key).map(|(at, record)| (at, record.len()));
        if let Some((at, length)) = place {
            self.replace(at, length, &[]);
        }
        place.is_some()
    }

    /// Writes a record in place of the one of its pair, or into a free place, or in place of the one that is worth least, if
    /// that is worth less than this one. Among those worth the same only idle ones give way, the oldest first: if closed gates
    /// did, they would evict each other by turns.
    ///
    /// False when there is no place.
    pub fn put(&mut self, record: &Record, spans: Spans, now_ms: u64) -> bool {
        let mut bytes = Vec::with_capacity(RECORD_BYTES + GATE_BYTES);
        record.encode(&mut bytes);
        if let Some((at, before)) = self.place_of(&record.key) {
            let length = before.len();
            self.replace(at, length, &bytes);
            return true;
        }
        self.remove_idle(spans, now_ms);
        if self.records().count() >= PLACES {
            let worth = record.worth(spans, now_ms).max(Worth::Recent);
            let worths = self.records().filter_map(|(at, other)| {
                let (length, other) = (other.len(), Record::decode(other)?);
                Some((other.worth(spans, now_ms), other.touched_ms, at, length))
            });
            match worths.min() {
                Some((least, _, at, length)) if least < worth => self.replace(at, length, &[]),
                _ => return false,
            }
        }
        self.bytes.append(&mut bytes);
        true
    }

    fn remove_idle(&mut self, spans: Spans, now_ms: u64) {
        let mut remaining = vec![VERSION];
        for (_, bytes) in self.records() {
            let idle = Record::decode(bytes).is_none_or(|record| {
                let idle_ms = now_ms.saturating_sub(record.touched_ms);
                idle_ms >= IDLE_RECORD_MS && record.worth(spans, now_ms) == Worth::Idle
            });
            if !idle {
                remaining.extend_from_slice(bytes);
            }
        }
        self.bytes = remaining;
    }

    fn replace(&mut self, at: usize, length: usize, with: &[u8]) {
        let before = self.bytes.get(..at).unwrap_or_default();
        let after = self.bytes.get(at.saturating_add(length)..).unwrap_or_default();
        self.bytes = [before, with, after].concat();
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records().count()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= 1
    }
}
