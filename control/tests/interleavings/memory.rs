//! What a process of the model knows better than a store that went back in time, or that heard only half.

use std::collections::{BTreeMap, BTreeSet};

use tokenward_control::upstream::grant::lineage::ObservedLineage;
use tokenward_control::upstream::grant::record::{GrantRecord, StoredIdToken, StoredRefreshToken};
use tokenward_control::upstream::grant::rotations::Rotation;
use tokenward_control::upstream::grant::takeover::unresolved;

use crate::records::lineage;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Memory {
    rotation: Option<Rotation>,
    /// Holders of announcements that came to nothing.
    unconsumed: BTreeSet<String>,
    /// The store's lines of writes, with the moment when each was met.
    lineage: BTreeMap<u32, u64>,
    /// Announcements without an end, by holder and whether their answer is lost, with the moment when each was met.
    intents: BTreeMap<(String, bool), u64>,
}

impl Memory {
    pub(crate) fn lost_rotation(&self, record: &GrantRecord) -> Option<Box<Rotation>> {
        let rotation = self.rotation.as_ref()?;
        rotation.supersedes(record).then(|| Box::new(rotation.clone()))
    }

    pub(crate) fn observe_lineage(&mut self, line: u32, now_ms: u64) -> ObservedLineage {
        ObservedLineage {
            name: Some(lineage(line)),
            since_ms: *self.lineage.entry(line).or_insert(now_ms),
        }
    }

    pub(crate) fn observe_intent(&mut self, record: &GrantRecord, now_ms: u64) -> Option<u64> {
        let intent = unresolved(record)?;
        let mark = (intent.holder.clone(), intent.lost);
        Some(*self.intents.entry(mark).or_insert(now_ms))
    }

    pub(crate) fn corrected(&self, record: GrantRecord) -> GrantRecord {
        let intent = record
            .intent
            .filter(|intent| !self.unconsumed.contains(&intent.holder));
        GrantRecord { intent, ..record }
    }

    pub(crate) fn rotated(&mut self, record: &GrantRecord, token: &StoredRefreshToken, now_ms: u64) {
        self.rotation = Some(Rotation::following(self.rotation.take(), record, token, now_ms));
    }

    /// An ID token came with `fingerprint`, the newest refresh token of an attempt.
    pub(crate) fn renewed(&mut self, fingerprint: &str, token: &StoredIdToken) {
        if let Some(rotation) = &mut self.rotation {
            rotation.attach_id_token(fingerprint, token);
        }
    }

    pub(crate) fn ended(&mut self, consumed_nothing: bool, holder: &str) {
        if consumed_nothing {
            self.unconsumed.insert(holder.to_owned());
        }
    }
}
