//! One attempt to refresh a grant, as a state machine without input or output: it says what to do next, is told how
//! that ended, and decides. [`super::refresh`] carries the steps out; the model in `control/tests/interleavings` plays
//! them in every order. docs/adr/0006 has the machine with the reason for every arrow.

mod change;
mod outcome;
mod step;

use std::time::Duration;

use tokenward_protocol::refusal::Refusal;

pub use self::outcome::{Finished, Verdict};
pub use self::step::{Answer, Event, Failure, Moment, Seen, Step, Terms};

use self::change::{Basis, Change, Edit, Turn};
use super::decide::{Decision, Want, decide, is_fresh, is_hopeless, of_streak};
use super::record::{DeathReason, GrantRecord, GrantState, Intent, KeptIdToken};
use super::takeover::{Takeover, contested_for, takeover};
use crate::config::IssuerPolicy;
use crate::issuer::answer::Death;
use crate::refused::Refused;
use crate::streak::{StreakKind, failed};

/// Waits of who finds the lease taken.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Start,
    Leasing,
    Queueing,
    Peeking,
    Looking,
    Preparing,
    Changing(Change),
    Presenting,
    Confirming(Death),
    Examining,
    Resettling,
    Over,
}

/// One attempt under way.
#[derive(Debug, Clone)]
pub struct Attempt {
    want: Want,
    terms: Terms,
    stage: Stage,
    holder: String,
    waited: Duration,
    wait: Duration,
    /// The record whose refresh token is presented.
    record: Option<Box<GrantRecord>>,
    /// An earlier presentation of the same token.
    unresolved: Option<Intent>,
    /// Our own.
    intent: Option<Intent>,
    basis: Basis,
    has_id_token: bool,
    /// What is told once the change under way is made.
    verdict: Option<Refused>,
    superseded: bool,
}

impl Attempt {
    /// An attempt for a caller that wants `want`.
    #[must_use]
    pub fn new(want: Want, terms: Terms) -> Self {
        Self {
            want,
            terms,
            stage: Stage::Start,
            holder: String::new(),
            waited: Duration::ZERO,
            wait: FIRST_WAIT,
            record: None,
            unresolved: None,
            intent: None,
            basis: Basis::default(),
            has_id_token: false,
            verdict: None,
            superseded: false,
        }
    }

    /// The record whose refresh token is presented.
    #[must_use]
    pub fn record(&self) -> Option<&GrantRecord> {
        self.record.as_deref()
    }

    /// Whether an answer of the issuer waits for the store.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        matches!(&self.stage, Stage::Changing(change) if change.is_held_up())
    }

    /// Where the attempt is: the name of its failpoint.
    #[must_use]
    pub fn place(&self) -> &'static str {
        match &self.stage {
            Stage::Start | Stage::Leasing => "lease",
            Stage::Queueing | Stage::Peeking => "queue",
            Stage::Looking => "look",
            Stage::Preparing => "prepare",
            Stage::Changing(change) => change.edit.place(),
            Stage::Presenting => "present",
            Stage::Confirming(_) => "confirm",
            Stage::Examining => "examine",
            Stage::Resettling => "resettle",
            Stage::Over => "release",
        }
    }

    /// Takes `event` in and says what to do next.
    pub fn next(&mut self, event: Event, at: Moment) -> Step {
        match (std::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Start, Event::Begun) => self.at(Stage::Leasing, Step::TakeLease),
            (Stage::Leasing, Event::Leased(holder)) => {
                self.holder = holder;
                self.at(Stage::Looking, Step::Read)
            }
            (Stage::Leasing, Event::LeaseTaken) => self.queue(),
            (Stage::Queueing, Event::Waited) => self.at(Stage::Peeking, Step::Read),
            (Stage::Peeking, Event::Read(seen)) => self.peeked(seen, at.now_ms),
            (Stage::Looking, Event::Read(seen)) => self.looked(seen, at.now_ms),
            (Stage::Resettling, Event::Read(seen)) => self.resettled(seen, at.now_ms),
            (Stage::Preparing, Event::Ready) => self.announce(at.now_ms),
            (Stage::Preparing, Event::NotReady(refused)) => self.refuse(refused, None),
            (Stage::Preparing, Event::Unready(failure)) => self.note(failure, false, at),
            (Stage::Presenting, Event::Answered(answer)) => self.answered(answer, at),
            (Stage::Confirming(death), Event::Ours(ours)) => self.confirmed(death, ours, at.now_ms),
            (Stage::Examining, Event::Examined(examined)) => self.examined(examined, at),
            (Stage::Changing(mut change), event) => match change.next(event, &self.basis, at.now_ms) {
                Turn::Step(step) => self.at(Stage::Changing(change), step),
                Turn::Done(record) => self.changed(change.edit, record, at),
                Turn::Superseded => self.overtaken(&change.edit),
                Turn::GivenUp => self.given_up(&change.edit),
            },
            (_, Event::StoreSilent) => self.refuse(Refusal::StoreUnavailable.into(), None),
            // Whoever carries the steps out has mixed them up: nothing was decided, so nothing is lost.
            _ => self.refuse(Refusal::Busy.into(), None),
        }
    }

    fn at(&mut self, stage: Stage, step: Step) -> Step {
        self.stage = stage;
        step
    }

    fn change(&mut self, edit: Edit) -> Step {
        self.at(Stage::Changing(Change::of(edit)), Step::Read)
    }

    fn queue(&mut self) -> Step {
        let wait = self.wait;
        self.waited += wait;
        self.wait = (wait * 2).min(LONGEST_WAIT);
        self.at(Stage::Queueing, Step::Wait(wait))
    }

    /// Another replica is at work; its result shows in the record.
    fn peeked(&mut self, seen: Option<Box<Seen>>, now_ms: u64) -> Step {
        match self.settled(seen, now_ms) {
            Err(finish) => finish,
            Ok(_) if self.waited > self.terms.patience => self.refuse(Refusal::Busy.into(), None),
            Ok(_) => self.at(Stage::Leasing, Step::TakeLease),
        }
    }

    /// The second look, under the lease: what was true before it may not be true any more.
    fn looked(&mut self, seen: Option<Box<Seen>>, now_ms: u64) -> Step {
        let record = match self.settled(seen, now_ms) {
            Err(finish) => return finish,
            Ok(record) => record,
        };
        let Some(token) = record.refresh_token.clone() else {
            return self.refuse(Refusal::NeedsLogin.into(), None);
        };
        self.basis = Basis {
            generation: record.generation,
            refresh_fingerprints: vec![token.fingerprint.clone()],
        };
        let allowed = takeover(&record, self.terms.issuer, &self.terms.policy, now_ms);
        self.record = Some(Box::new(record));
        match allowed {
            Takeover::Present { unresolved } => {
                self.unresolved = unresolved;
                self.at(Stage::Preparing, Step::Prepare(token))
            }
            Takeover::WaitOut(left) => self.refuse(contested().retry_after(left), None),
            Takeover::End => self.end(DeathReason::AnswerLost),
        }
    }

    /// The record that must be refreshed, or the end of the attempt.
    fn settled(&mut self, seen: Option<Box<Seen>>, now_ms: u64) -> Result<GrantRecord, Step> {
        let known = seen
            .map(|seen| seen.record)
            .filter(|record| !matches!(record.state, GrantState::SignedOut { .. }));
        let Some(record) = known else {
            return Err(self.refuse(Refusal::UnknownSession.into(), None));
        };
        match decide(&record, &self.want, &self.terms.policy, now_ms) {
            Decision::Serve => Err(self.serve(Box::new(record), None)),
            Decision::Refuse(refused) => Err(self.refuse(refused, None)),
            Decision::Refresh => Ok(record),
        }
    }

    fn announce(&mut self, now_ms: u64) -> Step {
        let intent = Intent {
            generation: self.basis.generation,
            fingerprint: self
                .basis
                .refresh_fingerprints
                .first()
                .cloned()
                .unwrap_or_default(),
            holder: self.holder.clone(),
            started_at_ms: now_ms,
            lost: false,
        };
        self.intent = Some(intent.clone());
        self.change(Edit::Announce(intent))
    }

    fn answered(&mut self, answer: Answer, at: Moment) -> Step {
        match answer {
            Answer::Refreshed { rotated, id_token } => {
                self.has_id_token = id_token;
                match rotated {
                    // Before anything else about the answer is looked at: it exists nowhere else.
                    Some(rotated) => {
                        self.basis.refresh_fingerprints.push(rotated.fingerprint.clone());
                        self.change(Edit::KeepRefreshToken(rotated))
                    }
                    None => self.examine(at),
                }
            }
            Answer::Dead(death) => self.at(Stage::Confirming(death), Step::ConfirmLease),
            Answer::Misconfigured(cause) => self.note(Failure::misconfigured(cause), false, at),
            Answer::Transient(passing)
                if passing.perhaps_done && self.terms.issuer == IssuerPolicy::Strict =>
            {
                self.end(DeathReason::AnswerLost)
            }
            Answer::Transient(passing) => {
                let failure = Failure {
                    kind: passing.kind,
                    asked: passing.retry_after,
                    cause: passing.cause,
                };
                self.note(failure, passing.perhaps_done, at)
            }
        }
    }

    fn examine(&mut self, at: Moment) -> Step {
        if self.has_id_token {
            return self.at(Stage::Examining, Step::Examine);
        }
        let cure = "the issuer refreshed without an ID token: the login must ask for the scope openid";
        self.note(Failure::misconfigured(cure), false, at)
    }

    fn examined(&mut self, examined: Result<KeptIdToken, String>, at: Moment) -> Step {
        let token = match examined {
            Ok(token) => token,
            Err(cause) => {
                let failure = Failure {
                    kind: StreakKind::Substituted,
                    asked: None,
                    cause,
                };
                return self.note(failure, false, at);
            }
        };
        let before = self.record.as_ref().and_then(|record| record.failures);
        // Of no use to anybody: without a pause every caller would rotate the refresh token again.
        let failures = (!is_fresh(token.exp_seconds, self.terms.policy.margin, at.now_ms))
            .then(|| failed(before, StreakKind::Misconfigured, None, at.now_ms, at.jitter));
        self.change(Edit::KeepIdToken { token, failures })
    }

    /// Whether the refusal is the last word: not without the lease, and not while an earlier presenter, of whom nobody
    /// knows how it ended, may still come and keep the good token.
    fn confirmed(&mut self, death: Death, ours: bool, now_ms: u64) -> Step {
        let unresolved = self.unresolved.take();
        let contested = unresolved
            .as_ref()
            .is_some_and(|intent| contested_for(intent, &self.terms.policy, now_ms).is_some());
        if !ours || contested {
            let wait = self.terms.policy.suspect_wait;
            self.verdict = Some(self::contested().retry_after(wait));
            return self.change(Edit::Suspect { intent: unresolved });
        }
        self.end(match (death, unresolved) {
            (Death::Expired, _) => DeathReason::Expired,
            (Death::Claimed | Death::InvalidGrant, Some(_)) => DeathReason::AnswerLost,
            (Death::Claimed, None) => DeathReason::Claimed,
            (Death::InvalidGrant, None) => DeathReason::InvalidGrant,
        })
    }

    fn end(&mut self, reason: DeathReason) -> Step {
        self.verdict = Some(Refused::new(Refusal::NeedsLogin).because(reason.says()));
        self.change(Edit::End { reason })
    }

    /// Notes a failure that leaves the login as it is, or ends it when it has lasted too long.
    fn note(&mut self, failure: Failure, perhaps_done: bool, at: Moment) -> Step {
        let Moment { now_ms, jitter } = at;
        let before = self.record.as_ref().and_then(|record| record.failures);
        let streak = failed(before, failure.kind, failure.asked, now_ms, jitter);
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
        self.change(Edit::Note { streak, intent, dead })
    }

    fn changed(&mut self, edit: Edit, record: Box<GrantRecord>, at: Moment) -> Step {
        let verdict = self.verdict.take();
        match edit {
            Edit::Announce(_) => self.at(Stage::Presenting, Step::Present),
            Edit::Withdraw { .. } => self.refuse(Refusal::StoreUnavailable.into(), None),
            Edit::KeepRefreshToken(token) => {
                self.basis.refresh_fingerprints = vec![token.fingerprint];
                (self.intent, self.unresolved) = (None, None);
                self.examine(at)
            }
            Edit::KeepIdToken { failures: None, .. } => self.serve(record, Some("refreshed")),
            Edit::KeepIdToken { .. } => {
                let cure = "the issuer's new ID token lives no longer than margin: lengthen its tokens' life or \
                            shorten margin";
                self.refuse(
                    Refused::new(Refusal::IssuerMisconfigured).because(cure),
                    Some("refreshed"),
                )
            }
            Edit::Note { dead: true, .. } | Edit::End { .. } => self.told(verdict, Some("dead")),
            Edit::Note { .. } => self.told(verdict, None),
            Edit::Suspect { .. } => self.told(verdict, Some("suspect")),
        }
    }

    fn overtaken(&mut self, edit: &Edit) -> Step {
        if let Edit::Withdraw { .. } = edit {
            return self.refuse(Refusal::StoreUnavailable.into(), None);
        }
        self.superseded = true;
        self.at(Stage::Resettling, Step::Read)
    }

    /// After somebody else changed the record under us.
    fn resettled(&mut self, seen: Option<Box<Seen>>, now_ms: u64) -> Step {
        match self.settled(seen, now_ms) {
            Err(finish) => finish,
            Ok(_) => self.refuse(
                Refused::new(Refusal::Busy).retry_after(Duration::from_secs(1)),
                None,
            ),
        }
    }

    fn given_up(&mut self, edit: &Edit) -> Step {
        let verdict = self.verdict.take();
        match edit {
            // The mark may have been written all the same, and nothing will be presented under it.
            Edit::Announce(_) => {
                let edit = Edit::Withdraw {
                    holder: self.holder.clone(),
                    before: self.unresolved.take(),
                };
                self.change(edit)
            }
            // The failure stands, written down or not.
            Edit::Note { .. } => self.told(verdict, None),
            Edit::KeepRefreshToken(_) => self.refuse(Refusal::StoreUnavailable.into(), Some("lost")),
            _ => self.refuse(Refusal::StoreUnavailable.into(), None),
        }
    }
}

fn contested() -> Refused {
    Refused::new(Refusal::IssuerUnavailable).because("another refresh of this login may still be under way")
}
