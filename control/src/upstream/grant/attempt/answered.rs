//! After the issuer's answer: what it means for the login, and what is kept of it.

use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;

use super::super::decide::{is_hopeless, of_streak};
use super::super::record::{DeathReason, Intent, StoredIdToken};
use super::super::takeover::contested_for;
use super::change::Edit;
use super::{Answer, Attempt, Now, Stage, Step};
use crate::config::IssuerPolicy;
use crate::refused::Refused;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::answer::Death;
use crate::upstream::renewal::is_never_fresh;
use crate::upstream::streak::{StreakKind, failed};

impl Attempt {
    pub(super) fn answered(&mut self, answer: Answer, at: Now) -> Step {
        match answer {
            Answer::Refreshed { rotated, lacks } => {
                self.lacks = lacks;
                match rotated {
                    // Before anything else about the answer is looked at: it exists nowhere else.
                    Some(rotated) => {
                        self.basis.refresh_fingerprints.push(rotated.fingerprint.clone());
                        self.change(Edit::StoreRefreshToken(rotated), at.now_ms)
                    }
                    None => self.examine(at),
                }
            }
            Answer::Dead(death) => self.at(Stage::Confirming(death), Step::ConfirmLease),
            Answer::Misconfigured(cause) => {
                self.came_to_nothing = true;
                self.note(Failure::misconfigured(cause), false, at)
            }
            Answer::Transient(passing)
                if passing.perhaps_done && self.terms.issuer == IssuerPolicy::Strict =>
            {
                self.settle(passing, at.now_ms)
            }
            Answer::Transient(passing) => {
                self.came_to_nothing = !passing.perhaps_done;
                let perhaps_done = passing.perhaps_done;
                self.note(passing.into(), perhaps_done, at)
            }
        }
    }

    pub(super) fn examine(&mut self, at: Now) -> Step {
        match self.lacks.take() {
            Some(failure) => self.note(failure, false, at),
            None => self.at(Stage::Examining, Step::Examine),
        }
    }

    pub(super) fn examined(&mut self, examined: Result<StoredIdToken, Failure>, at: Now) -> Step {
        let token = match examined {
            Ok(token) => token,
            Err(failure) => return self.note(failure, false, at),
        };
        let before = self.record().and_then(|record| record.failures);
        let margin = self.terms.policy.margin;
        let is_never_fresh = is_never_fresh(token.exp_seconds, token.issued_at_seconds, margin);
        // Of no use to anybody: without a pause every caller would rotate the refresh token again.
        let failures =
            is_never_fresh.then(|| failed(before, StreakKind::Misconfigured, None, at.now_ms, at.jitter));
        // Of no use here alone: that is for this replica's clock to answer for, and for no other's record.
        self.stale_on_arrival = !is_never_fresh && !is_fresh(token.exp_seconds, margin, at.now_ms);
        let mark = self.mark(None);
        let edit = Edit::StoreIdToken {
            token,
            failures,
            mark,
        };
        self.change(edit, at.now_ms)
    }

    /// Whether the refusal is the last word: not without the lease, and not while an earlier presenter, of whom nobody
    /// knows how it ended, may still come and keep the good token.
    pub(super) fn confirmed(&mut self, death: Death, ours: bool, now_ms: u64) -> Step {
        let unresolved = self.unresolved.take();
        let is_contested = unresolved
            .as_ref()
            .is_some_and(|intent| contested_for(intent, &self.terms.policy, now_ms).is_some());
        if !ours || is_contested {
            let wait = self.terms.policy.suspect_wait;
            self.verdict = Some(contested().retry_after(wait));
            let mark = self.mark(unresolved);
            return self.change(Edit::Suspect(mark), now_ms);
        }
        let reason = match (death, unresolved) {
            (Death::Expired, _) => DeathReason::Expired,
            (Death::Interaction, _) => DeathReason::Interaction,
            (Death::Claimed | Death::InvalidGrant, Some(_)) => DeathReason::AnswerLost,
            (Death::Claimed, None) => DeathReason::Claimed,
            (Death::InvalidGrant, None) => DeathReason::InvalidGrant,
        };
        self.end(reason, now_ms)
    }

    pub(super) fn end(&mut self, reason: DeathReason, now_ms: u64) -> Step {
        self.verdict = Some(Refused::new(Refusal::NeedsLogin).because(reason.says()));
        let mark = self.mark(None);
        self.change(Edit::End { reason, mark }, now_ms)
    }

    /// Notes a failure that leaves the login as it is, or ends it when it has lasted too long.
    pub(super) fn note(&mut self, failure: Failure, perhaps_done: bool, at: Now) -> Step {
        let Now { now_ms, jitter } = at;
        let before = self.record().and_then(|record| record.failures);
        let streak = failed(before, failure.kind, failure.retry_after, now_ms, jitter);
        let dead = is_hopeless(&streak, &self.terms.policy, now_ms);
        self.verdict = Some(if dead {
            Refused::new(Refusal::NeedsLogin).because(DeathReason::IssuerFailing.says())
        } else {
            let wait = streak.wait(now_ms).unwrap_or_default();
            of_streak(&streak).because(failure.cause).retry_after(wait)
        });
        // A lost answer stays written down: should the token turn out to be used up, this is why.
        let intent = match self.intent.take() {
            Some(intent) if perhaps_done => Some(Intent { lost: true, ..intent }),
            _ => self.unresolved.take(),
        };
        let mark = self.mark(intent);
        self.change(Edit::Note { streak, mark, dead }, now_ms)
    }
}

/// What callers are told while somebody else may still keep the good token.
pub(super) fn contested() -> Refused {
    Refused::new(Refusal::IssuerUnavailable).because("another refresh of this login may still be under way")
}
