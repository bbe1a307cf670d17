//! The pair's memory in the host's shared data: read, decide, compare-and-set, again if another worker was faster.

use crate::host::{Claim, Host, SetFailure};
use crate::identity::PairKey;

use super::slot::{SLOTS, Slot};

/// How often a write is tried. Each try loses only to another worker's success, and Envoy has a few workers.
const TRIES: usize = 16;

/// The write never got through: the host failed, or every try lost. Whoever asked must take the quiet, safe way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contended;

/// Reads the slot of a pair; empty when the host cannot say.
pub fn read(host: &impl Host, pair: &PairKey) -> Slot {
    match host.shared(&slot_key(pair)) {
        Ok(Some(value)) => Slot::decode(&value.bytes),
        _ => Slot::default(),
    }
}

/// Changes the slot of a pair. `change` gets the slot as it is and returns whether it must be written, and its
/// answer; it may be called again when another worker wrote in between, so it must have no effect of its own.
///
/// # Errors
/// [`Contended`]; nothing was written then.
pub fn update<T>(
    host: &impl Host,
    pair: &PairKey,
    mut change: impl FnMut(&mut Slot) -> (bool, T),
) -> Result<T, Contended> {
    let mut answer = None;
    write_slot(host, pair, &mut |slot| {
        let (write, latest) = change(slot);
        answer = Some(latest);
        write
    })?;
    answer.ok_or(Contended)
}

/// The loop of [`update`], compiled once for all its callers: the module's size is limited.
#[inline(never)]
fn write_slot(
    host: &impl Host,
    pair: &PairKey,
    change: &mut dyn FnMut(&mut Slot) -> bool,
) -> Result<(), Contended> {
    let key = slot_key(pair);
    for _ in 0..TRIES {
        let (mut slot, claim) = match host.shared(&key) {
            Ok(Some(value)) => (Slot::decode(&value.bytes), Claim::Unchanged(value.cas)),
            Ok(None) => (Slot::default(), Claim::Absent),
            Err(_) => return Err(Contended),
        };
        if !change(&mut slot) {
            return Ok(());
        }
        match host.set_shared(&key, &slot.encode(), claim) {
            Ok(()) => return Ok(()),
            Err(SetFailure::Mismatch) => {}
            Err(SetFailure::Host) => return Err(Contended),
        }
    }
    Err(Contended)
}

fn slot_key(pair: &PairKey) -> String {
    let [low, high, ..] = *pair.bytes();
    let slot = u16::from_le_bytes([low, high]).checked_rem(SLOTS).unwrap_or(0);
    format!("tokenward/pairs/{slot}")
}
