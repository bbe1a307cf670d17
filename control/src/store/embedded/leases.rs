//! Leases of the embedded engine. They are in memory only: this process has locked the file, and a lease that outlived
//! the process would only delay its successor.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::store::{Key, LeaseAnswer, LeaseOwner};

struct HeldLease {
    owner: LeaseOwner,
    until_ms: u64,
}

#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<Key, HeldLease>>);

impl Leases {
    pub(super) fn acquire(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime_ms: u64,
        now_ms: u64,
    ) -> LeaseAnswer {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = held.get(name)
            && other.until_ms > now_ms
            && other.owner != *owner
        {
            return LeaseAnswer::Held {
                remaining: Duration::from_millis(other.until_ms - now_ms),
            };
        }
        held.insert(
            name.clone(),
            HeldLease {
                owner: owner.clone(),
                until_ms: now_ms + lifetime_ms,
            },
        );
        LeaseAnswer::Acquired
    }

    pub(super) fn release(&self, name: &Key, owner: &LeaseOwner, now_ms: u64) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Slot::Occupied(slot) = held.entry(name.clone()) else {
            return false;
        };
        if slot.get().owner != *owner {
            return false;
        }
        slot.remove().until_ms > now_ms
    }

    pub(super) fn remove_expired(&self, now_ms: u64) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, lease| lease.until_ms > now_ms);
    }
}
