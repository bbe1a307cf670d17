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
const MOST_LINEAGES: usize = 64;

/// The store's line of writes when a record was read.
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
    AskIssuer,
}

/// Judges `record`, read on `line`, at `now_ms`.
#[must_use]
pub fn proof(record: &GrantRecord, line: &ObservedLineage, policy: &Policy, now_ms: u64) -> Proof {
    if line.name.is_some() && record.lineage == line.name {
        return Proof::Newest;
    }
    let until_ms = line.since_ms.saturating_add(whole_ms(policy.presentation_limit));
    match until_ms.saturating_sub(now_ms) {
        0 => Proof::AskIssuer,
        left_ms => Proof::WaitOut(Duration::from_millis(left_ms)),
    }
}

/// The lines that this process has met.
#[derive(Debug, Default)]
pub struct ObservedLineages {
    met: Mutex<VecDeque<ObservedLineage>>,
}

impl ObservedLineages {
    /// The line called `name`, met now or earlier.
    pub fn met(&self, name: Option<Lineage>, now_ms: u64) -> ObservedLineage {
        // Whole after every statement; a panic elsewhere does not spoil it.
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = met.iter().find(|line| line.name == name) {
            return line.clone();
        }
        if met.len() >= MOST_LINEAGES {
            met.pop_front();
        }
        let line = ObservedLineage {
            name,
            since_ms: now_ms,
        };
        met.push_back(line.clone());
        line
    }
}
