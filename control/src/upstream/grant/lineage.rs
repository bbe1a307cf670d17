//! Whether a record is the newest that was ever written: at an issuer that punishes a refresh token which comes twice,
//! a token of an older record must not be presented.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

use super::record::GrantRecord;
use crate::store::Lineage;
use crate::upstream::policy::Policy;

/// Remembered lines; the oldest goes first. A Cluster has one for each primary.
const MAX_LINEAGES: usize = 64;

/// The store's lineage of writes when a record was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ObservedLineage {
    /// `None`: the store cannot say.
    pub name: Option<Lineage>,
    /// Since when this process has known it, Unix ms.
    pub since_ms: u64,
}

/// What is known of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing came after it.
    Newest,
    /// What was announced before the store went back may still be under way: look again after this.
    WaitOut(Duration),
    /// Only the issuer can tell.
    Introspect,
}

/// Judges `record`, read on `lineage`, at `now_ms`.
#[must_use]
pub fn proof(record: &GrantRecord, lineage: &ObservedLineage, policy: &Policy, now_ms: u64) -> Proof {
    if lineage.name.is_some() && record.lineage == lineage.name {
        return Proof::Newest;
    }
    let until_ms = lineage
        .since_ms
        .saturating_add(whole_ms(policy.presentation_limit));
    match until_ms.saturating_sub(now_ms) {
        0 => Proof::Introspect,
        left_ms => Proof::WaitOut(Duration::from_millis(left_ms)),
    }
}

/// The lines that this process has observed.
#[derive(Debug, Default)]
pub struct ObservedLineages {
    observed: Mutex<VecDeque<ObservedLineage>>,
}

impl ObservedLineages {
    /// The lineage called `name`, observed now or earlier.
    pub fn observe(&self, name: Option<Lineage>, now_ms: u64) -> ObservedLineage {
        // Whole after every statement; a panic elsewhere does not spoil it.
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lineage) = observed.iter().find(|lineage| lineage.name == name) {
            return lineage.clone();
        }
        if observed.len() >= MAX_LINEAGES {
            observed.pop_front();
        }
        let lineage = ObservedLineage {
            name,
            since_ms: now_ms,
        };
        observed.push_back(lineage.clone());
        lineage
    }
}
