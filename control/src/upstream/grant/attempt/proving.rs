//! Introspection at a strict issuer (RFC 7662): before a refresh token is presented, whether it is unused; after a lost
//! answer, whether it is used up.

use tokenward_protocol::refusal::Refusal;

use super::super::lineage::{ObservedLineage, Proof, proof};
use super::super::record::{DeathReason, StoredRefreshToken};
use super::super::takeover::unresolved;
use super::answer::contended;
use super::change::Edit;
use super::{Attempt, Event, Now, Stage, Step};
use crate::refused::Refused;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::answer::Transient;
use crate::upstream::issuer::introspection::Introspected;
use crate::upstream::streak::failed;

impl Attempt {
    /// The store's lineage when the record was read.
    #[must_use]
    pub fn lineage(&self) -> Option<&ObservedLineage> {
        self.observed.as_ref()?.lineage.as_ref()
    }

    /// `is_doubtful`: the token may have been presented before.
    pub(super) fn prove(&mut self, token: StoredRefreshToken, is_doubtful: bool, now_ms: u64) -> Step {
        let judged = match &self.observed {
            Some(observed) => observed
                .lineage
                .as_ref()
                .map(|lineage| proof(&observed.record, lineage, &self.config.policy, now_ms)),
            None => None,
        };
        match judged {
            Some(Proof::WaitOut(left)) => self.refuse(contended().retry_after(left), None),
            None | Some(Proof::Newest) if !is_doubtful => self.go(Stage::Preparing, Step::Prepare(token)),
            None | Some(Proof::Newest | Proof::Introspect) => {
                self.go(Stage::Proving, Step::Introspect(token))
            }
        }
    }

    pub(super) fn on_introspected(&mut self, introspected: Introspected, now_ms: u64) -> Step {
        let token = self.record().and_then(|record| record.refresh_token.clone());
        let is_doubtful = self.record().is_some_and(|record| unresolved(record).is_some());
        match (introspected, token) {
            (Introspected::Unused, Some(token)) => self.go(Stage::Preparing, Step::Prepare(token)),
            (Introspected::Unused, None) => self.refuse(Refusal::NeedsLogin.into(), None),
            (_, _) if is_doubtful => self.end_observed_login(DeathReason::AnswerLost, now_ms),
            (Introspected::UsedUp, _) => self.end_observed_login(DeathReason::Forgotten, now_ms),
            (Introspected::Withheld, _) => self.end_observed_login(DeathReason::Unproven, now_ms),
        }
    }

    /// The introspection failed. An endpoint that has answered for long like anything but an introspection endpoint
    /// counts as one that does not report.
    pub(super) fn on_introspection_failed(&mut self, failure: Failure, at: Now) -> Step {
        let before = self.record().and_then(|record| record.failures);
        if failed(before, failure.kind, failure.retry_after, at.now_ms, at.jitter).is_lasting() {
            return self.on_introspected(Introspected::Withheld, at.now_ms);
        }
        self.record_failure(failure, false, at)
    }

    /// The answer to a presentation was lost: introspects at once whether it was carried out.
    pub(super) fn settle(&mut self, lost: Transient, now_ms: u64) -> Step {
        match self.record().and_then(|record| record.refresh_token.clone()) {
            Some(token) => self.go(Stage::Settling(Box::new(lost)), Step::Introspect(token)),
            None => self.end_login(DeathReason::AnswerLost, now_ms),
        }
    }

    /// Used up: the successor is lost, and so is the login. Unused: the request may still be in progress; a caller that
    /// comes after the wait introspects again before presenting.
    pub(super) fn on_settled(&mut self, lost: Transient, event: &Event, at: Now) -> Step {
        match event {
            Event::Introspected(Introspected::UsedUp | Introspected::Withheld) => {
                self.end_login(DeathReason::AnswerLost, at.now_ms)
            }
            _ => self.record_failure(lost.into(), true, at),
        }
    }

    /// Ends the login if its record is still the revision that was read.
    pub(super) fn end_observed_login(&mut self, reason: DeathReason, now_ms: u64) -> Step {
        self.verdict = Some(Refused::new(Refusal::NeedsLogin).because(reason.as_str()));
        let owner = self.intent_owner(None);
        let words = None;
        self.change_observed(Edit::EndLogin { reason, words, owner }, now_ms)
    }
}
