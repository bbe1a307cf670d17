//! The record and the lineage as a replica observes them.

use tokenward_control::config::IssuerPolicy;
use tokenward_control::store::Revision;
use tokenward_control::upstream::grant::attempt::ObservedGrant;
use tokenward_control::upstream::grant::lineage::ObservedLineage;
use tokenward_control::upstream::grant::record::{GrantRecord, VersionedGrant};

use super::World;

impl World {
    /// The record as a replica reads it.
    pub(super) fn observed(&mut self, at: usize) -> ObservedGrant {
        let (record, intent_observed_ms) = self.corrected(at);
        ObservedGrant {
            revision: Revision(self.revision),
            lost_rotation: self.memories[at].lost_rotation(&self.record),
            lineage: self.observe_lineage(at),
            intent_observed_ms,
            record,
        }
    }

    /// The record as a replica receives it when its write conflicts with another.
    pub(super) fn conflicting(&mut self, at: usize) -> VersionedGrant {
        let (record, _) = self.corrected(at);
        VersionedGrant {
            revision: Revision(self.revision),
            record,
        }
    }

    /// The record with what a replica knows better, and since when the replica has known its announcement.
    fn corrected(&mut self, at: usize) -> (GrantRecord, Option<u64>) {
        let (now_ms, record) = (self.clock(at), self.memories[at].corrected(self.record.clone()));
        let is_strict = self.policy == IssuerPolicy::Strict;
        let observed_ms = is_strict
            .then(|| self.memories[at].observe_intent(&record, now_ms))
            .flatten();
        (record, observed_ms)
    }

    /// The store's lineage, as a replica of a strict issuer observes it.
    pub(super) fn observe_lineage(&mut self, at: usize) -> Option<ObservedLineage> {
        let now_ms = self.clock(at);
        (self.policy == IssuerPolicy::Strict).then(|| self.memories[at].observe_lineage(self.lineage, now_ms))
    }
}
