//! The store: records as bytes with revisions, leases with a lifetime, and an outage.

use std::collections::HashMap;

use tokenward_control::store::Revision;
use tokenward_control::upstream::exchange::record::ExchangeRecord;

use super::records;
use crate::count::{Count, Tally};
use crate::options::Options;
use crate::population::first_token;

/// Life of a lease, as by default (`lease`).
const LEASE_MS: u64 = 15_000;

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Leased {
    /// The refresh of this user's grant.
    Grant(u32),
    /// The exchange for this user and server.
    Exchange(u32, u16),
}

/// A record of a grant with its revision.
#[derive(Debug, Clone)]
struct Entry {
    revision: u32,
    bytes: Box<[u8]>,
}

/// An exchanged token: control's own record, and which token it holds.
#[derive(Debug, Clone)]
pub(super) struct Exchanged {
    pub(super) record: ExchangeRecord,
    pub(super) number: u32,
}

/// The store of all replicas.
pub(super) struct Store {
    grants: Vec<Entry>,
    exchanges: HashMap<(u32, u16), Exchanged>,
    leases: HashMap<Leased, (String, u64)>,
    /// No operation succeeds before, Unix ms.
    away_until_ms: u64,
}

impl Store {
    /// With a login of every user, refreshed lately or, after an idle night, hours ago.
    pub(super) fn new(options: &Options) -> Self {
        let entry = |user: u32| {
            let stamp = first_token(options, user);
            let made_ms = (u64::from(stamp.exp_seconds) - u64::from(options.token_life_seconds)) * 1000;
            let record = records::logged_in(None, &stamp, options.token_life_seconds, made_ms);
            Entry {
                revision: 1,
                bytes: record.to_bytes().unwrap_or_default().into(),
            }
        };
        Self {
            grants: (0..options.sessions).map(entry).collect(),
            exchanges: HashMap::new(),
            leases: HashMap::new(),
            away_until_ms: 0,
        }
    }

    /// Whether it answers.
    pub(super) fn is_there(&self, now_ms: u64) -> bool {
        now_ms >= self.away_until_ms
    }

    /// Lets it answer nothing until this moment.
    pub(super) fn go_away(&mut self, until_ms: u64) {
        self.away_until_ms = until_ms;
    }

    /// The bytes of a grant's record, with the revision.
    pub(super) fn grant(&self, user: u32, tally: &Tally) -> (Revision, &[u8]) {
        tally.one(Count::StoreReads);
        let entry = &self.grants[user as usize];
        (Revision(u64::from(entry.revision)), &entry.bytes)
    }

    /// Writes a grant's record if it is still at this revision; the new revision.
    pub(super) fn write_grant(
        &mut self,
        user: u32,
        at: Option<Revision>,
        bytes: Vec<u8>,
        tally: &Tally,
    ) -> Option<Revision> {
        tally.one(Count::StoreWrites);
        let entry = &mut self.grants[user as usize];
        if at.is_some_and(|at| at != Revision(u64::from(entry.revision))) {
            return None;
        }
        entry.revision += 1;
        entry.bytes = bytes.into();
        Some(Revision(u64::from(entry.revision)))
    }

    /// An exchanged token.
    pub(super) fn exchanged(&self, user: u32, server: u16, tally: &Tally) -> Option<&Exchanged> {
        tally.one(Count::StoreReads);
        self.exchanges.get(&(user, server))
    }

    /// Writes an exchanged token, under the lease.
    pub(super) fn write_exchanged(&mut self, user: u32, server: u16, exchanged: Exchanged, tally: &Tally) {
        // The record itself, and the set of the grant's exchanged tokens.
        tally.many(Count::StoreWrites, 2);
        self.exchanges.insert((user, server), exchanged);
    }

    /// Takes a lease, or renews it.
    pub(super) fn take_lease(&mut self, leased: Leased, owner: &str, now_ms: u64, tally: &Tally) -> bool {
        tally.one(Count::StoreLeases);
        let held = self.leases.get(&leased);
        let is_free = held.is_none_or(|(other, until_ms)| other == owner || *until_ms <= now_ms);
        if is_free {
            self.leases.insert(leased, (owner.to_owned(), now_ms + LEASE_MS));
        }
        is_free
    }

    /// Releases a lease.
    pub(super) fn release_lease(&mut self, leased: Leased, owner: &str, tally: &Tally) {
        tally.one(Count::StoreLeases);
        if self.leases.get(&leased).is_some_and(|(other, _)| other == owner) {
            self.leases.remove(&leased);
        }
    }

    /// Bytes of all grants' records as they are here, and the number of exchanged tokens.
    pub(super) fn size(&self) -> (usize, usize) {
        let bytes = self.grants.iter().map(|entry| entry.bytes.len()).sum();
        (bytes, self.exchanges.len())
    }
}
