//! The issuer's answer: what it means for the login, and what is stored of it.

use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;

use super::super::decide::{is_permanent, of_streak};
use super::super::record::{DeathReason, Intent, StoredIdToken};
use super::super::relayed::StoredResponse;
use super::super::takeover::contended_for;
use super::change::Edit;
use super::{Answer, Attempt, Now, Stage, Step};
use crate::config::IssuerPolicy;
use crate::refused::Refused;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::answer::Death;
use crate::upstream::renewal::is_never_fresh;
use crate::upstream::streak::{StreakKind, failed};

impl Attempt {
    pub(super) fn on_answer(&mut self, answer: Answer, at: Now) -> Step {
        match answer {
            Answer::Refreshed {
                rotated,
                no_id_token,
                response,
                access_token,
            } => {
                self.access_token = access_token;
                self.no_id_token = no_id_token;
                self.response = response;
                match rotated {
                    // Stored before anything else in the answer is examined: it exists nowhere else.
                    Some(rotated) => {
                        self.precondition
                            .refresh_fingerprints
                            .push(rotated.fingerprint.clone());
                        let edit = Edit::StoreRefreshToken {
                            token: rotated,
                            for_client: self.want.is_for_client(),
                        };
                        self.change(edit, at.now_ms)
                    }
                    None => self.examine(at),
                }
            }
            Answer::Dead { death, words } => {
                self.words = words;
                self.go(Stage::Confirming(death), Step::ConfirmLease)
            }
            Answer::Misconfigured(cause) => {
                self.consumed_nothing = true;
                self.record_failure(Failure::misconfigured(cause), false, at)
            }
            Answer::Transient(transient)
                if transient.perhaps_done && self.config.issuer == IssuerPolicy::Strict =>
            {
                self.settle(transient, at.now_ms)
            }
            Answer::Transient(transient) => {
                self.consumed_nothing = !transient.perhaps_done;
                let perhaps_done = transient.perhaps_done;
                self.record_failure(transient.into(), perhaps_done, at)
            }
        }
    }

    pub(super) fn examine(&mut self, at: Now) -> Step {
        match (self.no_id_token.take(), self.response.take()) {
            (Some(failure), Some(response)) => self.store_response(response, failure, at),
            (Some(failure), None) => self.record_failure(failure, false, at),
            (None, response) => {
                self.response = response;
                self.go(Stage::Examining, Step::Examine)
            }
        }
    }

    /// A response without an ID token: whole for a client of the relay, a failure for any other caller.
    fn store_response(&mut self, response: Box<StoredResponse>, failure: Failure, at: Now) -> Step {
        let before = self.record().and_then(|record| record.failures);
        let streak = failed(before, StreakKind::NoIdToken, None, at.now_ms, at.jitter);
        self.verdict = Some(of_streak(&streak).because(failure.cause));
        let owner = self.intent_owner(None);
        let edit = Edit::StoreResponse {
            response,
            streak,
            owner,
        };
        self.change(edit, at.now_ms)
    }

    pub(super) fn on_examined(&mut self, examined: Result<StoredIdToken, Failure>, at: Now) -> Step {
        let token = match examined {
            Ok(token) => token,
            Err(failure) => return self.record_failure(failure, false, at),
        };
        let before = self.record().and_then(|record| record.failures);
        let margin = self.config.policy.margin;
        let is_never_fresh = is_never_fresh(token.exp_seconds, token.issued_at_seconds, margin);
        // Unusable for all replicas: without a pause every caller would rotate the refresh token again.
        let failures =
            is_never_fresh.then(|| failed(before, StreakKind::Misconfigured, None, at.now_ms, at.jitter));
        // Unusable by this replica's clock only, so it does not go into the record, which other replicas read.
        self.stale_on_arrival = !is_never_fresh && !is_fresh(token.exp_seconds, margin, at.now_ms);
        let owner = self.intent_owner(None);
        let edit = Edit::StoreIdToken {
            token,
            response: self.response.take(),
            access_token: self.access_token.take(),
            failures,
            owner,
        };
        self.change(edit, at.now_ms)
    }

    /// Whether the refusal is final: not without the lease, and not while an earlier presenter, whose outcome is
    /// unknown, may still return and store a good token.
    pub(super) fn on_lease_confirmed(&mut self, death: Death, ours: bool, now_ms: u64) -> Step {
        let unresolved = self.unresolved.take();
        let is_contended = unresolved
            .as_ref()
            .is_some_and(|intent| contended_for(intent, &self.config.policy, now_ms).is_some());
        if !ours || is_contended {
            let wait = self.config.policy.suspect_wait;
            self.verdict = Some(contended().retry_after(wait));
            let owner = self.intent_owner(unresolved);
            return self.change(Edit::Suspect(owner), now_ms);
        }
        let reason = match (death, unresolved) {
            (Death::Expired, _) => DeathReason::Expired,
            (Death::Interaction, _) => DeathReason::Interaction,
            (Death::Claimed | Death::InvalidGrant, Some(_)) => DeathReason::AnswerLost,
            (Death::Claimed, None) => DeathReason::Claimed,
            (Death::InvalidGrant, None) => DeathReason::InvalidGrant,
        };
        self.end_login(reason, now_ms)
    }

    pub(super) fn end_login(&mut self, reason: DeathReason, now_ms: u64) -> Step {
        self.verdict = Some(Refused::new(Refusal::NeedsLogin).because(reason.as_str()));
        let owner = self.intent_owner(None);
        let words = self.words.take();
        self.change(Edit::EndLogin { reason, words, owner }, now_ms)
    }

    /// Records a failure that leaves the login intact, or ends the login if the failures have lasted too long.
    pub(super) fn record_failure(&mut self, failure: Failure, perhaps_done: bool, at: Now) -> Step {
        let Now { now_ms, jitter } = at;
        let before = self.record().and_then(|record| record.failures);
        let streak = failed(before, failure.kind, failure.retry_after, now_ms, jitter);
        let dead = is_permanent(&streak, &self.config.policy, now_ms);
        self.verdict = Some(if dead {
            Refused::new(Refusal::NeedsLogin).because(DeathReason::IssuerFailing.as_str())
        } else {
            let wait = streak.wait(now_ms).unwrap_or_default();
            of_streak(&streak).because(failure.cause).retry_after(wait)
        });
        // A lost answer stays in the record: it is the reason if the token turns out to be used up.
        let intent = match self.intent.take() {
            Some(intent) if perhaps_done => Some(Intent { lost: true, ..intent }),
            _ => self.unresolved.take(),
        };
        let owner = self.intent_owner(intent);
        self.change(Edit::RecordFailure { streak, owner, dead }, now_ms)
    }
}

/// The refusal while another process may still store a good token.
pub(super) fn contended() -> Refused {
    Refused::new(Refusal::IssuerUnavailable).because("another refresh of this login may still be under way")
}
