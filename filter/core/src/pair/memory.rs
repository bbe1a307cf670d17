//! The pairs' records in the host's shared data: read, decide, compare-and-set, and retry if another worker was faster.

use std::cell::Cell;

use sha2::{Digest, Sha256};

use crate::host::{Host, SetFailure, WriteCondition};
use crate::identity::PairKey;

use super::record::{Record, Spans};
use super::slot::{SLOTS, Slot};

/// How often a write is tried. Each try loses only to another worker's success, and Envoy has a few workers.
const TRIES: usize = 16;
/// The key of the salt in shared data. It is made once for each `vm_id` and lives as long as the slots do.
const SALT_KEY: &str = "tokenward/salt";
/// The salt's format version; one of another version is replaced.
const SALT_VERSION: u8 = 1;

/// Nothing was stored: the host failed, every try lost, or the pair's slot has no place for it. The caller must take the
/// quiet, safe way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotStored;

/// One worker's access to the pairs' memory.
#[derive(Debug)]
pub struct PairMemory {
    spans: Spans,
    /// A pair's slot depends on it, so that no client can fill the slot of another pair.
    salt: Cell<Option<[u8; 16]>>,
}

impl PairMemory {
    /// The memory; `spans` decide which records give way. Makes no host call.
    #[must_use]
    pub fn new(spans: Spans) -> Self {
        Self {
            spans,
            salt: Cell::new(None),
        }
    }

    /// The record of a pair; a blank one when there is none or the host fails.
    pub fn read(&self, host: &impl Host, pair: &PairKey) -> Record {
        let found = self.salt(host, false).ok().flatten().and_then(|salt| {
            let value = host.shared(&slot_key(salt, pair)).ok()??;
            Slot::decode(value.bytes).record(pair.bytes())
        });
        found.unwrap_or_else(|| Record::new(*pair.bytes()))
    }

    /// Changes the record of a pair. `change` gets the record as it is and returns whether it must be written, and a result; it
    /// is called again when another worker wrote in between, so it must have no effect of its own.
    ///
    /// # Errors
    /// [`NotStored`]; nothing was written then.
    pub fn update<T>(
        &self,
        host: &impl Host,
        pair: &PairKey,
        now_ms: u64,
        mut change: impl FnMut(&mut Record) -> (bool, T),
    ) -> Result<T, NotStored> {
        let mut result = None;
        self.write_record(host, pair, now_ms, &mut |record| {
            let (write, latest) = change(record);
            result = Some(latest);
            write
        })?;
        result.ok_or(NotStored)
    }

    /// The middle of [`Self::update`], compiled once for all its callers: the module's size is limited.
    #[inline(never)]
    fn write_record(
        &self,
        host: &impl Host,
        pair: &PairKey,
        now_ms: u64,
        change: &mut dyn FnMut(&mut Record) -> bool,
    ) -> Result<(), NotStored> {
        // Without a salt nothing was ever written, and an Envoy without failures never needs one.
        if self.salt(host, false)?.is_none() && !change(&mut Record::new(*pair.bytes())) {
            return Ok(());
        }
        let salt = self.salt(host, true)?.ok_or(NotStored)?;
        let mut placed = true;
        update_value(host, &slot_key(salt, pair), &mut |bytes| {
            let mut slot = bytes.map_or_else(Slot::default, Slot::decode);
            let known = slot.record(pair.bytes());
            let mut record = known.unwrap_or_else(|| Record::new(*pair.bytes()));
            placed = true;
            if !change(&mut record) {
                return None;
            }
            if record.is_blank(self.spans, now_ms) {
                return slot.remove(pair.bytes()).then(|| slot.encode());
            }
            record.touched_ms = now_ms;
            placed = slot.put(&record, self.spans, now_ms);
            placed.then(|| slot.encode())
        })?;
        if placed { Ok(()) } else { Err(NotStored) }
    }

    /// The salt of this `vm_id`: the first worker that writes creates it (`make`), all others read it.
    fn salt(&self, host: &impl Host, make: bool) -> Result<Option<[u8; 16]>, NotStored> {
        if self.salt.get().is_some() {
            return Ok(self.salt.get());
        }
        let mut salt = None;
        update_value(host, SALT_KEY, &mut |bytes| {
            salt = bytes.and_then(|bytes| bytes.strip_prefix(&[SALT_VERSION])?.try_into().ok());
            if salt.is_some() || !make {
                return None;
            }
            let made = host.random();
            salt = Some(made);
            Some([&[SALT_VERSION], &made[..]].concat())
        })?;
        self.salt.set(salt);
        Ok(salt)
    }
}

fn slot_key(salt: [u8; 16], pair: &PairKey) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(pair.bytes());
    let [low, high, ..] = <[u8; 32]>::from(digest.finalize());
    let slot = u16::from_le_bytes([low, high]).checked_rem(SLOTS).unwrap_or(0);
    format!("tokenward/pairs/{slot}")
}

/// Changes one value of shared data by compare-and-set. `change` gets the bytes that are there and returns those that
/// must be written, if any; it may be called again.
///
/// # Errors
/// [`NotStored`]; nothing was written then.
#[inline(never)]
pub(crate) fn update_value(
    host: &impl Host,
    key: &str,
    change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>,
) -> Result<(), NotStored> {
    for _ in 0..TRIES {
        let before = host.shared(key).map_err(|_| NotStored)?;
        let claim = before.as_ref().map_or(WriteCondition::Absent, |value| {
            WriteCondition::Unchanged(value.cas)
        });
        let Some(bytes) = change(before.map(|value| value.bytes)) else {
            return Ok(());
        };
        match host.set_shared(key, &bytes, claim) {
            Ok(()) => return Ok(()),
            Err(SetFailure::Mismatch) => {}
            Err(SetFailure::Host) => return Err(NotStored),
        }
    }
    Err(NotStored)
}
