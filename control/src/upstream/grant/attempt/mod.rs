//! One attempt to refresh a grant, as a state machine without input or output: it says what to do next, is told how
//! that ended, and decides. [`super::refresh`] carries the steps out; the model in `control/tests/interleavings` plays
//! them in every order. docs/adr/0006 has the machine with the reason for every arrow.

mod answered;
mod change;
mod outcome;
mod proving;
mod step;

use std::time::Duration;

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::refusal::Refusal;

pub use self::outcome::{Finished, Verdict};
pub use self::step::{Answer, AttemptConfig, Event, Now, Seen, Step};

use self::answered::contested;
use self::change::{Change, Edit, IntentOwner, Precondition, Transition};
use super::decide::{Decision, Want, decide};
use super::record::{GrantRecord, GrantState, Intent, VersionedGrant};
use super::takeover::{Takeover, takeover};
use crate::config::IssuerPolicy;
use crate::coordination::lease::LeaseQueue;
use crate::refused::Refused;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::answer::{Death, Transient};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    Start,
    Leasing,
    Queueing,
    Peeking,
    Looking,
    Proving,
    Preparing,
    Changing(Box<Change>),
    Presenting,
    Settling(Box<Transient>),
    Confirming(Death),
    Examining,
    Over,
}

/// One attempt under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    want: Want,
    terms: AttemptConfig,
    stage: Stage,
    holder: String,
    queue: LeaseQueue,
    /// The record whose refresh token is presented, as it was when that was decided.
    seen: Option<Box<Seen>>,
    /// The record as this attempt wrote it last, until its next change.
    written: Option<Box<VersionedGrant>>,
    /// An earlier presentation of the same token.
    unresolved: Option<Intent>,
    /// Our own.
    intent: Option<Intent>,
    basis: Precondition,
    /// Why the answer brought no ID token.
    lacks: Option<Failure>,
    /// What is told once the change under way is made.
    verdict: Option<Refused>,
    superseded: bool,
    came_to_nothing: bool,
    stale_on_arrival: bool,
}

impl Attempt {
    /// An attempt for a caller that wants `want`.
    #[must_use]
    pub fn new(want: Want, terms: AttemptConfig) -> Self {
        Self {
            want,
            terms,
            stage: Stage::Start,
            holder: String::new(),
            queue: LeaseQueue::default(),
            seen: None,
            written: None,
            unresolved: None,
            intent: None,
            basis: Precondition::default(),
            lacks: None,
            verdict: None,
            superseded: false,
            came_to_nothing: false,
            stale_on_arrival: false,
        }
    }

    /// Whether this attempt has announced a presentation that surely used no refresh token up. The store may not have
    /// learnt of that.
    #[must_use]
    pub fn came_to_nothing(&self) -> bool {
        self.came_to_nothing
    }

    /// Whether the new ID token is stale by this replica's clock, though it lives longer than the margin.
    #[must_use]
    pub fn is_stale_on_arrival(&self) -> bool {
        self.stale_on_arrival
    }

    /// How long before its expiry a token is stale.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.terms.policy.margin
    }

    /// The record whose refresh token is presented.
    #[must_use]
    pub fn record(&self) -> Option<&GrantRecord> {
        self.seen.as_ref().map(|seen| &seen.record)
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
            Stage::Proving => "prove",
            Stage::Preparing => "prepare",
            Stage::Changing(change) => change.edit.place(),
            Stage::Presenting => "present",
            Stage::Settling(_) => "settle",
            Stage::Confirming(_) => "confirm",
            Stage::Examining => "examine",
            Stage::Over => "release",
        }
    }

    /// Takes `event` in and says what to do next.
    pub fn next(&mut self, event: Event, at: Now) -> Step {
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
            (Stage::Preparing, Event::Ready) => self.announce(at.now_ms),
            (Stage::Proving, Event::Introspected(introspected)) => self.introspected(introspected, at.now_ms),
            (Stage::Proving | Stage::Preparing, Event::NotReady(refused)) => self.refuse(refused, None),
            (Stage::Proving, Event::Unready(failure)) => self.not_proven(failure, at),
            (Stage::Preparing, Event::Unready(failure)) => self.note(failure, false, at),
            (Stage::Settling(lost), event) => self.settled_by_issuer(*lost, &event, at),
            (Stage::Presenting, Event::Answered(answer)) => self.answered(answer, at),
            (Stage::Confirming(death), Event::Ours(ours)) => self.confirmed(death, ours, at.now_ms),
            (Stage::Examining, Event::Examined(examined)) => self.examined(examined, at),
            (Stage::Changing(mut change), event) => match change.next(event, &self.basis, at.now_ms) {
                Transition::Step(step) => self.at(Stage::Changing(change), step),
                Transition::Done(written) => self.changed(change.edit, *written, at),
                Transition::Superseded(record) => self.overtaken(&change.edit, record, at.now_ms),
                Transition::GivenUp => self.given_up(&change.edit, at.now_ms),
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

    /// Changes the record that this attempt wrote last, or reads it first where the outcome of its last write is unknown.
    fn change(&mut self, edit: Edit, now_ms: u64) -> Step {
        let (change, step) = match self.written.take() {
            Some(written) => Change::of_written(edit, *written, now_ms),
            None => (Change::of(edit), Step::Read),
        };
        self.at(Stage::Changing(Box::new(change)), step)
    }

    fn mark(&self, becomes: Option<Intent>) -> IntentOwner {
        IntentOwner {
            holder: self.holder.clone(),
            becomes,
        }
    }

    fn queue(&mut self) -> Step {
        let wait = self.queue.next_wait();
        self.at(Stage::Queueing, Step::Wait(wait))
    }

    /// Another replica is at work; its result shows in the record.
    fn peeked(&mut self, seen: Option<Box<Seen>>, now_ms: u64) -> Step {
        let record = seen.map(|seen| seen.record);
        match self.settled(record.as_ref(), now_ms) {
            Some(finish) => finish,
            None if self.queue.waited() > self.terms.patience => self.refuse(Refusal::Busy.into(), None),
            None => self.at(Stage::Leasing, Step::TakeLease),
        }
    }

    /// The second look, under the lease: what was true before it may not be true any more.
    fn looked(&mut self, mut seen: Option<Box<Seen>>, now_ms: u64) -> Step {
        if let Some(step) = self.put_back(&mut seen, now_ms) {
            return step;
        }
        if let Some(finish) = self.settled(seen.as_ref().map(|seen| &seen.record), now_ms) {
            return finish;
        }
        let Some(seen) = seen else {
            return self.refuse(Refusal::UnknownSession.into(), None);
        };
        let record = &seen.record;
        let Some(token) = record.refresh_token.clone() else {
            return self.refuse(Refusal::NeedsLogin.into(), None);
        };
        self.basis = Precondition {
            generation: record.generation,
            refresh_fingerprints: vec![token.fingerprint.clone()],
        };
        let (issuer, met_ms) = (self.terms.issuer, seen.mark_met_ms);
        let allowed = takeover(record, issuer, &self.terms.policy, met_ms, now_ms);
        self.seen = Some(seen);
        match allowed {
            Takeover::Present { unresolved } => {
                self.unresolved = unresolved;
                self.prove(token, false, now_ms)
            }
            Takeover::WaitOut(left) => self.refuse(contested().retry_after(left), None),
            Takeover::AskIssuer => self.prove(token, true, now_ms),
        }
    }

    /// A store that went back in time holds a refresh token that is used up: what came after it is put back first.
    fn put_back(&mut self, seen: &mut Option<Box<Seen>>, now_ms: u64) -> Option<Step> {
        let seen = seen
            .as_mut()
            .filter(|seen| !self.want.entitlement.is_revoked(&seen.record))?;
        let rotation = seen.forgotten.take()?;
        let (change, step) = Change::of_seen(Edit::PutBack(rotation), seen, now_ms);
        Some(self.at(Stage::Changing(Box::new(change)), step))
    }

    /// The end of the attempt, unless `record` must be refreshed.
    fn settled(&mut self, record: Option<&GrantRecord>, now_ms: u64) -> Option<Step> {
        let known = record.filter(|record| !matches!(record.state, GrantState::SignedOut { .. }));
        let Some(record) = known else {
            return Some(self.refuse(Refusal::UnknownSession.into(), None));
        };
        match decide(record, &self.want, &self.terms.policy, now_ms) {
            Decision::Serve => Some(self.serve(Box::new(record.clone()), None)),
            Decision::Refuse(refused) => Some(self.refuse(refused, None)),
            Decision::Refresh => None,
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
        self.came_to_nothing = true;
        let lineage = self.line().and_then(|line| line.name.clone());
        self.change_seen(Edit::Announce(intent, lineage), now_ms)
    }

    /// Changes the record only as it was when that was decided.
    fn change_seen(&mut self, edit: Edit, now_ms: u64) -> Step {
        let Some(seen) = &self.seen else {
            return self.refuse(Refusal::Busy.into(), None);
        };
        let (change, step) = Change::of_seen(edit, seen, now_ms);
        self.at(Stage::Changing(Box::new(change)), step)
    }

    fn changed(&mut self, edit: Edit, written: VersionedGrant, at: Now) -> Step {
        let verdict = self.verdict.take();
        match edit {
            Edit::PutBack(_) => self.at(Stage::Looking, Step::Read),
            Edit::Announce(intent, _) => {
                self.written = Some(Box::new(written));
                self.announced(&intent, at.now_ms)
            }
            Edit::Withdraw(_) => self.refuse(Refusal::StoreUnavailable.into(), None),
            Edit::StoreRefreshToken(token) => {
                self.written = Some(Box::new(written));
                self.basis.refresh_fingerprints = vec![token.fingerprint];
                (self.intent, self.unresolved) = (None, None);
                self.examine(at)
            }
            Edit::StoreIdToken { failures: None, .. } => {
                self.serve(Box::new(written.record), Some("refreshed"))
            }
            Edit::StoreIdToken { .. } => {
                let cure = "the issuer's new ID token lives no longer than margin: lengthen its tokens' life or \
                            shorten margin";
                self.refuse(
                    Refused::new(Refusal::IssuerMisconfigured).because(cure),
                    Some("refreshed"),
                )
            }
            Edit::Note { dead: true, .. } | Edit::End { .. } => self.told(verdict, Some("dead")),
            Edit::Note { .. } => self.told(verdict, None),
            Edit::Suspect(_) => self.told(verdict, Some("suspect")),
        }
    }

    /// Presents, unless so much time has passed since the announcement that others may count it as over.
    fn announced(&mut self, intent: &Intent, now_ms: u64) -> Step {
        let passed_ms = now_ms.saturating_sub(intent.started_at_ms);
        let limit_ms = whole_ms(self.terms.policy.announcement_limit());
        if self.terms.issuer == IssuerPolicy::Strict && passed_ms > limit_ms {
            return self.withdraw(now_ms);
        }
        self.came_to_nothing = false;
        self.at(Stage::Presenting, Step::Present)
    }

    fn withdraw(&mut self, now_ms: u64) -> Step {
        let before = self.unresolved.take();
        let mark = self.mark(before);
        self.change(Edit::Withdraw(mark), now_ms)
    }

    /// Another writer came first: `record` is what it wrote.
    fn overtaken(&mut self, edit: &Edit, record: Option<Box<GrantRecord>>, now_ms: u64) -> Step {
        match edit {
            Edit::Withdraw(_) => self.refuse(Refusal::StoreUnavailable.into(), None),
            Edit::PutBack(_) => self.at(Stage::Looking, Step::Read),
            _ => {
                self.superseded = true;
                let busy = Refused::new(Refusal::Busy).retry_after(Duration::from_secs(1));
                self.settled(record.as_deref(), now_ms)
                    .unwrap_or_else(|| self.refuse(busy, None))
            }
        }
    }

    fn given_up(&mut self, edit: &Edit, now_ms: u64) -> Step {
        let verdict = self.verdict.take();
        match edit {
            // The mark may have been written all the same, and nothing will be presented under it.
            Edit::Announce(..) => self.withdraw(now_ms),
            // The failure stands, written down or not.
            Edit::Note { .. } => self.told(verdict, None),
            Edit::StoreRefreshToken(_) => self.refuse(Refusal::StoreUnavailable.into(), Some("lost")),
            _ => self.refuse(Refusal::StoreUnavailable.into(), None),
        }
    }
}
