//! What this replica knows of its presentations and the store may not: repairs a store that went back in time, and
//! distinguishes a presentation that never happened from one whose answer was lost.
//!
//! A Valkey restored from a snapshot, or a replica promoted without the last writes, holds a used-up refresh token.
//! Presenting it again would end the login at a strict issuer, and outside the reuse interval at Dex too. The replica
//! that made the refresh still knows its outcome and restores it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

use super::intents::ObservedIntents;
use super::lineage::ObservedLineages;
use super::record::{GrantKey, GrantRecord, GrantState, Intent, StoredIdToken, StoredRefreshToken};

/// Capacity in grants; the longest unchanged one is dropped first. With large tokens each takes about 5 KB.
const MAX_GRANTS: usize = 2048;
/// Capacity in announcements that used up no token.
const MAX_UNCONSUMED: usize = 8192;
/// Capacity in used-up refresh tokens, per grant.
const MAX_USED_UP: usize = 16;

/// The tokens of a grant's record after a rotation. Sealed, as in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rotation {
    generation: u64,
    /// Fingerprints of the earlier refresh tokens, the newest last.
    used_up: VecDeque<String>,
    refresh_token: StoredRefreshToken,
    id_token: Option<StoredIdToken>,
    rotated_at_ms: u64,
}

impl Rotation {
    /// The rotation in which the issuer replaced the refresh token of `record` by `refresh_token`; `before` is the
    /// previous one, if known.
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

    /// Adds the ID token of the answer that had the refresh token `fingerprint`.
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

    /// Whether it brought or used up the refresh token `fingerprint`.
    #[must_use]
    pub fn holds(&self, fingerprint: &str) -> bool {
        self.refresh_token.fingerprint == fingerprint || self.used_up.iter().any(|used| used == fingerprint)
    }

    /// Restores in `record`, which this rotation supersedes, what the store has lost.
    pub fn restore(&self, record: &mut GrantRecord) {
        // Clients may hold every token that the store has lost.
        if !record.relayed.chain.is_empty() {
            for held in self.used_up.iter().chain([&self.refresh_token.fingerprint]) {
                record.relayed.hand_out(held);
            }
        }
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
    /// Grants in the order of their changes. One that changed again is listed twice, and only the last entry counts.
    changed: VecDeque<(String, u64)>,
    /// Holders of announcements that used up no token.
    unconsumed: VecDeque<String>,
}

/// The rotations of this process.
pub struct Rotations {
    memory: Mutex<Memory>,
    /// The store's lineages that were observed.
    pub(super) lineages: ObservedLineages,
    /// The unresolved announcements that were observed.
    pub(super) intents: ObservedIntents,
    lifetime: Duration,
}

impl Rotations {
    /// Each is dropped after `lifetime`, which must not exceed [`super::SIGNED_OUT_LIFETIME`]: while the record of a
    /// sign-out exists, nothing is restored; once it has expired, nothing from before the sign-out may be left.
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
        // Every statement leaves the state consistent, so a panic elsewhere does not spoil it.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the issuer replaced the refresh token of `before` by `refresh_token`.
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

    /// Adds the ID token of the rotation that issued the refresh token `fingerprint`.
    pub(super) fn attach_id_token(&self, key: &GrantKey, fingerprint: &str, id_token: &StoredIdToken) {
        if let Some(rotation) = self.lock().by_grant.get_mut(key.digest()) {
            rotation.attach_id_token(fingerprint, id_token);
        }
    }

    /// Records that the announcement of `holder` used up no refresh token: it was not presented, or certainly not
    /// accepted. The store may not have that outcome.
    pub(super) fn note_unconsumed(&self, holder: &str) {
        let unconsumed = &mut self.lock().unconsumed;
        if unconsumed.len() >= MAX_UNCONSUMED {
            unconsumed.pop_front();
        }
        unconsumed.push_back(holder.to_owned());
    }

    /// Whether `intent` is known to have used up no token.
    pub(super) fn is_unconsumed(&self, intent: &Intent) -> bool {
        self.lock().unconsumed.contains(&intent.holder)
    }

    /// The grant of whose rotations one brought or used up the refresh token `fingerprint`.
    pub(super) fn grant_with(&self, fingerprint: &str) -> Option<GrantKey> {
        let memory = self.lock();
        let mut known = memory.by_grant.iter();
        let found = known.find(|(_, rotation)| rotation.holds(fingerprint));
        found.map(|(grant, _)| GrantKey::from_digest(grant.clone()))
    }

    /// Drops what is known of `key`, so that nothing of it is restored.
    pub(super) fn forget(&self, key: &GrantKey) {
        self.lock().by_grant.remove(key.digest());
    }

    /// The rotation that the store has lost since `record`; almost always `None`.
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
