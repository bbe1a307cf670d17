//! Asking a strict issuer (RFC 7662): before its refresh token is presented, whether it is the newest that there ever was
//! and unused; and after an answer was lost, whether it is used up.

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
    /// The store's lineage of writes when the record was on_read at.
    #[must_use]
    pub fn lineage(&self) -> Option<&ObservedLineage> {
        self.observed.as_ref()?.lineage.as_ref()
    }

    /// `is_doubtful`: it may have been presented before.
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

    /// The issuer could not be asked. An endpoint that has long answered like anything but an introspection endpoint does
    /// not tell, and never will.
    pub(super) fn on_introspection_failed(&mut self, failure: Failure, at: Now) -> Step {
        let before = self.record().and_then(|record| record.failures);
        if failed(before, failure.kind, failure.retry_after, at.now_ms, at.jitter).is_lasting() {
            return self.on_introspected(Introspected::Withheld, at.now_ms);
        }
        self.record_failure(failure, false, at)
    }

    /// The answer to a presentation was lost: the issuer is asked at once whether it was carried out.
    pub(super) fn settle(&mut self, lost: Transient, now_ms: u64) -> Step {
        match self.record().and_then(|record| record.refresh_token.clone()) {
            Some(token) => self.go(Stage::Settling(Box::new(lost)), Step::Introspect(token)),
            None => self.end_login(DeathReason::AnswerLost, now_ms),
        }
    }

    /// Used up: the successor is lost, and so is the login. Unused: the request may still be under way; a caller that comes when
    /// its time is over asks again before presenting.
    pub(super) fn on_settled(&mut self, lost: Transient, said: &Event, at: Now) -> Step {
        match said {
            Event::Introspected(Introspected::UsedUp | Introspected::Withheld) => {
                self.end_login(DeathReason::AnswerLost, at.now_ms)
            }
            _ => self.record_failure(lost.into(), true, at),
        }
    }

    /// Ends the login, if its record is still the one that was on_read at.
    pub(super) fn end_observed_login(&mut self, reason: DeathReason, now_ms: u64) -> Step {
        self.verdict = Some(Refused::new(Refusal::NeedsLogin).because(reason.says()));
        let owner = self.intent_owner(None);
        self.change_seen(Edit::EndLogin { reason, owner }, now_ms)
    }
}
