//! What this replica knows of its presentations and the store may not: to mend a store that went back in time, and to
//! tell a presentation that never was from one whose answer was lost.
//!
//! A Valkey restored from a snapshot, or a replica of it promoted without the last writes, holds a refresh token that
//! is used up. To present it again would end the login at a strict issuer, and outside the reuse interval at Dex too.
//! Who made the refresh still knows its outcome and puts it back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

use super::intents::ObservedIntents;
use super::lineage::ObservedLineages;
use super::record::{GrantKey, GrantRecord, GrantState, Intent, StoredIdToken, StoredRefreshToken};

/// Memory grants; the longest unchanged goes first. With large tokens some 5 KB each.
const MAX_GRANTS: usize = 2048;
/// Memory announcements that came to nothing.
const MAX_UNCONSUMED: usize = 8192;
/// Memory refresh tokens that are used up, per grant.
const MAX_USED_UP: usize = 16;

/// What a grant's record holds after a rotation. Tokens are sealed, as in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rotation {
    generation: u64,
    /// Fingerprints of the refresh tokens that came before, the newest last.
    used_up: VecDeque<String>,
    refresh_token: StoredRefreshToken,
    id_token: Option<StoredIdToken>,
    rotated_at_ms: u64,
}

impl Rotation {
    /// The issuer took the refresh token of `record` and gave `refresh_token`; `before` is what is known of the rotation
    /// before it.
    #[must_use]
    pub fn following(
        before: Option<Self>,
        record: &GrantRecord,
        refresh_token: &StoredRefreshToken,
        now_ms: u64,
    ) -> Self {
        let mut used_up = before
            .filter(|rotation| rotation.generation == record.generation)
            .map(|rotation| rotation.used_up)
            .unwrap_or_default();
        used_up.extend(
            record
                .refresh_token
                .as_ref()
                .map(|token| token.fingerprint.clone()),
        );
        while used_up.len() > MAX_USED_UP {
            used_up.pop_front();
        }
        Self {
            generation: record.generation,
            used_up,
            refresh_token: refresh_token.clone(),
            id_token: None,
            rotated_at_ms: now_ms,
        }
    }

    /// With the refresh token `fingerprint` came `id_token`.
    pub fn attach_id_token(&mut self, fingerprint: &str, id_token: &StoredIdToken) {
        if self.refresh_token.fingerprint == fingerprint {
            self.id_token = Some(id_token.clone());
        }
    }

    /// Whether `record` holds a refresh token that was used up before this rotation.
    #[must_use]
    pub fn supersedes(&self, record: &GrantRecord) -> bool {
        self.generation == record.generation
            && record
                .refresh_token
                .as_ref()
                .is_some_and(|stored| self.used_up.contains(&stored.fingerprint))
    }

    /// Makes of a record that it supersedes what the record was before the store forgot.
    pub fn restore(&self, record: &mut GrantRecord) {
        record.refresh_token = Some(self.refresh_token.clone());
        if let Some(token) = &self.id_token {
            let replaced = record
                .id_token
                .as_ref()
                .is_none_or(|stored| stored.exp_seconds <= token.exp_seconds);
            if replaced {
                record.id_token = Some(token.clone());
            }
        }
        record.state = GrantState::Active;
        record.intent = None;
        record.failures = None;
        record.refreshed_at_ms = Some(self.rotated_at_ms);
        record.last_used_at_ms = record.last_used_at_ms.max(self.rotated_at_ms);
    }
}

#[derive(Default)]
struct Memory {
    by_grant: HashMap<String, Rotation>,
    /// Grants in the order of their changes; one that changed again stands there twice, and only the last counts.
    changed: VecDeque<(String, u64)>,
    /// Holders of announcements that came to nothing.
    unconsumed: VecDeque<String>,
}

/// The rotations of this process.
pub struct Rotations {
    memory: Mutex<Memory>,
    /// The store's lines of writes that were met.
    pub(super) lineages: ObservedLineages,
    /// The announcements that were met without an end.
    pub(super) intents: ObservedIntents,
    lifetime: Duration,
}

impl Rotations {
    /// Each is forgotten after `lifetime`, which must not be longer than the mark that a sign-out leaves: while the mark
    /// is there, nothing is put back; when it has gone, nothing that was known before the sign-out may be left.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self {
            memory: Mutex::default(),
            lineages: ObservedLineages::default(),
            intents: ObservedIntents::default(),
            lifetime,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Whole after every statement; a panic elsewhere does not spoil it.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The issuer took the refresh token of `before` and gave `refresh_token`.
    pub(super) fn record(
        &self,
        key: &GrantKey,
        before: &GrantRecord,
        refresh_token: &StoredRefreshToken,
        now_ms: u64,
    ) {
        let mut memory = self.lock();
        let known = memory.by_grant.remove(key.digest());
        let rotation = Rotation::following(known, before, refresh_token, now_ms);
        memory.by_grant.insert(key.digest().to_owned(), rotation);
        memory.changed.push_back((key.digest().to_owned(), now_ms));
        memory.evict();
    }

    /// The rotation that gave the refresh token `fingerprint` also gave `id_token`.
    pub(super) fn attach_id_token(&self, key: &GrantKey, fingerprint: &str, id_token: &StoredIdToken) {
        if let Some(rotation) = self.lock().by_grant.get_mut(key.digest()) {
            rotation.attach_id_token(fingerprint, id_token);
        }
    }

    /// What `holder` announced used no refresh token up: it was not presented, or surely not taken. The store may not
    /// have learnt of that.
    pub(super) fn note_unconsumed(&self, holder: &str) {
        let unconsumed = &mut self.lock().unconsumed;
        if unconsumed.len() >= MAX_UNCONSUMED {
            unconsumed.pop_front();
        }
        unconsumed.push_back(holder.to_owned());
    }

    /// Whether `intent` is known to have come to nothing.
    pub(super) fn is_unconsumed(&self, intent: &Intent) -> bool {
        self.lock().unconsumed.contains(&intent.holder)
    }

    /// Nothing of `key` is ever put back.
    pub(super) fn forget(&self, key: &GrantKey) {
        self.lock().by_grant.remove(key.digest());
    }

    /// What `record` was before the store forgot; `None` when, as nearly always, it forgot nothing.
    pub(super) fn lost_by_store(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
        now_ms: u64,
    ) -> Option<Rotation> {
        let memory = self.lock();
        let rotation = memory.by_grant.get(key.digest())?;
        let is_recent = now_ms.saturating_sub(rotation.rotated_at_ms) < whole_ms(self.lifetime);
        (is_recent && rotation.supersedes(record)).then(|| rotation.clone())
    }
}

impl Memory {
    fn evict(&mut self) {
        while self.changed.len() > MAX_GRANTS {
            let Some((grant, changed_at_ms)) = self.changed.pop_front() else {
                return;
            };
            let unchanged = self
                .by_grant
                .get(&grant)
                .is_some_and(|rotation| rotation.rotated_at_ms == changed_at_ms);
            if unchanged {
                self.by_grant.remove(&grant);
            }
        }
    }
}
