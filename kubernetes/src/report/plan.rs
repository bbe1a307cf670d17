//! Decides what is written for a list of verdicts.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{ConditionPatch, EventNote, SharedConditions};
use crate::resource::ResourceId;
use crate::text::{MAX_NOTE_BYTES, shortened};
use crate::verdict::{Outcome, Verdict};

/// A resource gets at most one condition and one Event within this time.
const INTERVAL_MS: u64 = 60_000;
/// A fault that lasts gets its Event again after this long: the API server forgets Events after an hour.
const REPEAT_MS: u64 = 30 * 60_000;
/// Writes of one pass.
const MOST_WRITES: usize = 50;

/// What to write now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Conditions.
    pub conditions: Vec<ConditionPatch>,
    /// Events.
    pub events: Vec<EventNote>,
}

/// What was written, by resource.
#[derive(Debug, Default)]
pub struct Reports {
    written: BTreeMap<ResourceId, Written>,
}

#[derive(Debug, Default, Clone)]
struct Written {
    uid: String,
    condition_at_ms: Option<u64>,
    event_at_ms: Option<u64>,
    /// What the last Event said.
    event: Option<String>,
    was_bad: bool,
}

impl Reports {
    /// What to write at `now_ms` of a clock that never steps back, so that the resources say what `verdicts` do. It counts as
    /// written; [`Reports::failed`] takes it back.
    pub fn plan(&mut self, verdicts: &[Verdict], shared: SharedConditions<'_>, now_ms: u64) -> Plan {
        self.forget_all_but(verdicts);
        let mut plan = Plan::default();
        for verdict in verdicts {
            if plan.conditions.len() + plan.events.len() >= MOST_WRITES {
                break;
            }
            let written = self.written.entry(verdict.resource.id.clone()).or_default();
            if written.uid != verdict.resource.uid {
                *written = Written {
                    uid: verdict.resource.uid.clone(),
                    ..Written::default()
                };
            }
            plan.conditions
                .extend(condition(verdict, shared, written, now_ms));
            plan.events.extend(event(verdict, written, now_ms));
        }
        plan
    }

    /// Nothing could be written to `resource`: it is tried again after a minute.
    pub fn failed(&mut self, resource: &ResourceId) {
        if let Some(written) = self.written.get_mut(resource) {
            written.event = None;
        }
    }

    /// Another replica led meanwhile.
    pub fn forget(&mut self) {
        self.written.clear();
    }

    fn forget_all_but(&mut self, verdicts: &[Verdict]) {
        if self.written.len() > verdicts.len() {
            let present: std::collections::BTreeSet<_> =
                verdicts.iter().map(|verdict| &verdict.resource.id).collect();
            self.written.retain(|id, _| present.contains(id));
        }
    }
}

fn is_due(last_ms: Option<u64>, interval_ms: u64, now_ms: u64) -> bool {
    last_ms.is_none_or(|last| now_ms.saturating_sub(last) >= interval_ms)
}

fn condition(
    verdict: &Verdict,
    shared: SharedConditions<'_>,
    written: &mut Written,
    now_ms: u64,
) -> Option<ConditionPatch> {
    let resource = &verdict.resource;
    if verdict.outcome == Outcome::Ignored && resource.condition.is_none() {
        return None;
    }
    let patch = ConditionPatch {
        resource: resource.id.clone(),
        version: resource.version.clone(),
        uid: resource.uid.clone(),
        is_true: verdict.outcome == Outcome::Accepted,
        reason: verdict.reason,
        message: shortened(&verdict.message, MAX_NOTE_BYTES),
        generation: resource.generation,
        since: resource
            .condition
            .as_ref()
            .filter(|there| {
                there.is_true == (verdict.outcome == Outcome::Accepted) && !there.since.is_empty()
            })
            .map(|there| there.since.clone()),
    };
    let is_there = resource.condition.as_ref().is_some_and(|there| {
        (
            there.is_true,
            there.reason.as_str(),
            &there.message,
            there.generation,
        ) == (patch.is_true, patch.reason, &patch.message, patch.generation)
    });
    if is_there || !is_due(written.condition_at_ms, INTERVAL_MS, now_ms) {
        return None;
    }
    if !shared(resource.id.kind, &resource.version) {
        return None;
    }
    written.condition_at_ms = Some(now_ms);
    Some(patch)
}

fn event(verdict: &Verdict, written: &mut Written, now_ms: u64) -> Option<EventNote> {
    let resource = &verdict.resource;
    let is_good = verdict.outcome.is_good();
    if is_good && !written.was_bad {
        return None;
    }
    let note = shortened(&verdict.message, MAX_NOTE_BYTES);
    let content = format!("{} {}", verdict.reason, note);
    let interval_ms = if written.event.as_ref() == Some(&content) {
        REPEAT_MS
    } else {
        INTERVAL_MS
    };
    if !is_due(written.event_at_ms, interval_ms, now_ms) {
        return None;
    }
    let name = event_name(&resource.id.name, &resource.uid, resource.generation, &content);
    written.event_at_ms = Some(now_ms);
    written.event = Some(content);
    written.was_bad = !is_good;
    Some(EventNote {
        name,
        resource: resource.id.clone(),
        version: resource.version.clone(),
        uid: resource.uid.clone(),
        is_warning: !is_good,
        reason: verdict.reason,
        note,
    })
}

/// A name of at most 253 characters (RFC 1123 subdomain).
fn event_name(resource: &str, uid: &str, generation: i64, content: &str) -> String {
    let digest = Sha256::digest(format!("{uid} {generation} {content}"));
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let beginning: String = resource.chars().take(200).collect();
    format!("{}.{digest}", beginning.trim_end_matches(['.', '-']))
}
