//! One attempt to refresh a grant, as a state machine without I/O: it returns the next step, receives the event that
//! ended it, and decides. [`super::refresh`] executes the steps; the model in `control/tests/interleavings` plays them
//! in every order. docs/adr/0006 has the machine with the reason for every transition.

mod answer;
mod change;
mod outcome;
mod proving;
mod step;

use std::time::Duration;

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::refusal::Refusal;

pub use self::step::{Answer, AttemptConfig, Event, Finished, Now, ObservedGrant, Step, Verdict};

use self::answer::contended;
use self::change::{Edit, IntentOwner, Precondition, RecordChange, Transition};
use super::decide::{Decision, Want, decide};
use super::record::{GrantRecord, GrantState, Intent, StoredAccessToken, VersionedGrant};
use super::relayed::{IssuerWords, StoredResponse};
use super::takeover::{Takeover, takeover};
use crate::config::IssuerPolicy;
use crate::coordination::lease::LeaseQueue;
use crate::refused::Refused;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::answer::{Death, Transient};
use crate::upstream::issuer::pace::Urgency;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    Start,
    Leasing,
    Queueing,
    QueuedReading,
    Reading,
    Proving,
    Preparing,
    Changing(Box<RecordChange>),
    Presenting,
    Settling(Box<Transient>),
    Confirming(Death),
    Examining,
    Over,
}

/// An attempt in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    want: Want,
    config: AttemptConfig,
    stage: Stage,
    holder: String,
    queue: LeaseQueue,
    /// The record whose refresh token is presented, as it was read under the lease.
    observed: Option<Box<ObservedGrant>>,
    /// The record as this attempt wrote it last, until its next change.
    written: Option<Box<VersionedGrant>>,
    /// An earlier presentation of the same token.
    unresolved: Option<Intent>,
    /// This attempt's own announcement.
    intent: Option<Intent>,
    precondition: Precondition,
    /// Why the answer has no usable ID token.
    no_id_token: Option<Failure>,
    /// The issuer's answer for clients of the relay: a response, until its ID token is checked, or an error.
    response: Option<Box<StoredResponse>>,
    /// The access token of the answer, until its ID token is checked.
    access_token: Option<Box<StoredAccessToken>>,
    words: Option<IssuerWords>,
    /// The refusal that callers get once the change in progress is written.
    verdict: Option<Refused>,
    superseded: bool,
    consumed_nothing: bool,
    stale_on_arrival: bool,
}

impl Attempt {
    /// An attempt for a caller that wants `want`.
    #[must_use]
    pub fn new(want: Want, config: AttemptConfig) -> Self {
        Self {
            want,
            config,
            stage: Stage::Start,
            holder: String::new(),
            queue: LeaseQueue::default(),
            observed: None,
            written: None,
            unresolved: None,
            intent: None,
            precondition: Precondition::default(),
            no_id_token: None,
            response: None,
            access_token: None,
            words: None,
            verdict: None,
            superseded: false,
            consumed_nothing: false,
            stale_on_arrival: false,
        }
    }

    /// Whether this attempt has announced a presentation that certainly used up no refresh token. The store may not
    /// have that outcome.
    #[must_use]
    pub fn consumed_nothing(&self) -> bool {
        self.consumed_nothing
    }

    /// Whether the new ID token is stale by this replica's clock, though it lives longer than the margin.
    #[must_use]
    pub fn is_stale_on_arrival(&self) -> bool {
        self.stale_on_arrival
    }

    /// The urgency of the call to the issuer.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        self.want.urgency()
    }

    /// The record whose refresh token is presented.
    #[must_use]
    pub fn record(&self) -> Option<&GrantRecord> {
        self.observed.as_ref().map(|observed| &observed.record)
    }

    /// Whether an answer of the issuer waits for the store.
    #[must_use]
    pub fn is_waiting_for_store(&self) -> bool {
        matches!(&self.stage, Stage::Changing(change) if change.is_waiting_for_store())
    }

    /// The name of the stage, for failpoints.
    #[must_use]
    pub fn stage_name(&self) -> &'static str {
        match &self.stage {
            Stage::Start | Stage::Leasing => "lease",
            Stage::Queueing | Stage::QueuedReading => "queue",
            Stage::Reading => "read",
            Stage::Proving => "prove",
            Stage::Preparing => "prepare",
            Stage::Changing(change) => change.edit.stage_name(),
            Stage::Presenting => "present",
            Stage::Settling(_) => "settle",
            Stage::Confirming(_) => "confirm",
            Stage::Examining => "examine",
            Stage::Over => "release",
        }
    }

    /// Takes the event that ended the last step and returns the next one.
    pub fn next(&mut self, event: Event, at: Now) -> Step {
        match (std::mem::replace(&mut self.stage, Stage::Over), event) {
            (Stage::Start, Event::Started) => self.go(Stage::Leasing, Step::TakeLease),
            (Stage::Leasing, Event::LeaseAcquired(holder)) => {
                self.holder = holder;
                self.go(Stage::Reading, Step::Read)
            }
            (Stage::Leasing, Event::LeaseHeld) => self.queue(),
            (Stage::Queueing, Event::Waited) => self.go(Stage::QueuedReading, Step::Read),
            (Stage::QueuedReading, Event::Read(observed)) => self.on_queued_read(observed, at.now_ms),
            (Stage::Reading, Event::Read(observed)) => self.on_read(observed, at.now_ms),
            (Stage::Preparing, Event::Ready) => self.announce(at.now_ms),
            (Stage::Proving, Event::Introspected(introspected)) => {
                self.on_introspected(introspected, at.now_ms)
            }
            (Stage::Proving | Stage::Preparing, Event::NotReady(refused)) => self.refuse(refused, None),
            (Stage::Proving, Event::PreparationFailed(failure)) => self.on_introspection_failed(failure, at),
            (Stage::Preparing, Event::PreparationFailed(failure)) => self.record_failure(failure, false, at),
            (Stage::Settling(lost), event) => self.on_settled(*lost, &event, at),
            (Stage::Presenting, Event::Answered(answer)) => self.on_answer(answer, at),
            (Stage::Confirming(death), Event::LeaseConfirmed(ours)) => {
                self.on_lease_confirmed(death, ours, at.now_ms)
            }
            (Stage::Examining, Event::Examined(examined)) => self.on_examined(examined, at),
            (Stage::Changing(mut change), event) => match change.next(event, &self.precondition, at.now_ms) {
                Transition::Step(step) => self.go(Stage::Changing(change), step),
                Transition::Done(written) => self.on_changed(change.edit, *written, at),
                Transition::Superseded(record) => {
                    self.on_superseded(&change.edit, record.as_deref(), at.now_ms)
                }
                Transition::GivenUp => self.on_given_up(&change.edit, at.now_ms),
            },
            (_, Event::StoreFailed) => self.refuse(Refusal::StoreUnavailable.into(), None),
            // Unexpected event for this stage (a bug of the driver): nothing was decided, so nothing is lost.
            _ => self.refuse(Refusal::Busy.into(), None),
        }
    }

    fn go(&mut self, stage: Stage, step: Step) -> Step {
        self.stage = stage;
        step
    }

    /// Changes the record that this attempt wrote last; reads it first if the outcome of the last write is unknown.
    fn change(&mut self, edit: Edit, now_ms: u64) -> Step {
        let (change, step) = match self.written.take() {
            Some(written) => RecordChange::of_written(edit, *written, now_ms),
            None => (RecordChange::of(edit), Step::Read),
        };
        self.go(Stage::Changing(Box::new(change)), step)
    }

    fn intent_owner(&self, replacement: Option<Intent>) -> IntentOwner {
        IntentOwner {
            holder: self.holder.clone(),
            replacement,
        }
    }

    fn queue(&mut self) -> Step {
        let wait = self.queue.next_wait();
        self.go(Stage::Queueing, Step::Wait(wait))
    }

    /// Another replica holds the lease; its result shows in the record.
    fn on_queued_read(&mut self, observed: Option<Box<ObservedGrant>>, now_ms: u64) -> Step {
        let record = observed.map(|observed| observed.record);
        match self.resolve(record.as_ref(), now_ms) {
            Some(finish) => finish,
            None if self.queue.waited() > self.config.patience => self.refuse(Refusal::Busy.into(), None),
            None => self.go(Stage::Leasing, Step::TakeLease),
        }
    }

    /// The read under the lease: what an earlier read showed may have changed.
    fn on_read(&mut self, mut observed: Option<Box<ObservedGrant>>, now_ms: u64) -> Step {
        if let Some(step) = self.restore(&mut observed, now_ms) {
            return step;
        }
        if let Some(finish) = self.resolve(observed.as_ref().map(|observed| &observed.record), now_ms) {
            return finish;
        }
        let Some(observed) = observed else {
            return self.refuse(Refusal::UnknownSession.into(), None);
        };
        let record = &observed.record;
        let Some(token) = record.refresh_token.clone() else {
            return self.refuse(Refusal::NeedsLogin.into(), None);
        };
        self.precondition = Precondition {
            generation: record.generation,
            refresh_fingerprints: vec![token.fingerprint.clone()],
        };
        let (issuer, observed_ms) = (self.config.issuer, observed.intent_observed_ms);
        let allowed = takeover(record, issuer, &self.config.policy, observed_ms, now_ms);
        self.observed = Some(observed);
        match allowed {
            Takeover::Present { unresolved } => {
                self.unresolved = unresolved;
                self.prove(token, false, now_ms)
            }
            Takeover::WaitOut(left) => self.refuse(contended().retry_after(left), None),
            Takeover::Introspect => self.prove(token, true, now_ms),
        }
    }

    /// A store that went back in time holds a used-up refresh token: the lost rotation is restored first.
    fn restore(&mut self, observed: &mut Option<Box<ObservedGrant>>, now_ms: u64) -> Option<Step> {
        let observed = observed
            .as_mut()
            .filter(|observed| !self.want.entitlement.is_revoked(&observed.record))?;
        let rotation = observed.lost_rotation.take()?;
        let (change, step) = RecordChange::of_observed(Edit::Restore(rotation), observed, now_ms);
        Some(self.go(Stage::Changing(Box::new(change)), step))
    }

    /// The end of the attempt, unless `record` must be refreshed.
    fn resolve(&mut self, record: Option<&GrantRecord>, now_ms: u64) -> Option<Step> {
        let known = record.filter(|record| !matches!(record.state, GrantState::SignedOut { .. }));
        let Some(record) = known else {
            return Some(self.refuse(Refusal::UnknownSession.into(), None));
        };
        match decide(record, &self.want, &self.config.policy, now_ms) {
            Decision::Serve => Some(self.serve(Box::new(record.clone()), None)),
            Decision::Refuse(refused) => Some(self.refuse(refused, None)),
            Decision::Refresh => None,
        }
    }

    fn announce(&mut self, now_ms: u64) -> Step {
        let intent = Intent {
            generation: self.precondition.generation,
            fingerprint: self
                .precondition
                .refresh_fingerprints
                .first()
                .cloned()
                .unwrap_or_default(),
            holder: self.holder.clone(),
            started_at_ms: now_ms,
            lost: false,
        };
        self.intent = Some(intent.clone());
        self.consumed_nothing = true;
        let lineage = self.lineage().and_then(|lineage| lineage.name.clone());
        self.change_observed(Edit::Announce(intent, lineage), now_ms)
    }

    /// Changes the very revision that was read under the lease.
    fn change_observed(&mut self, edit: Edit, now_ms: u64) -> Step {
        let Some(observed) = &self.observed else {
            return self.refuse(Refusal::Busy.into(), None);
        };
        let (change, step) = RecordChange::of_observed(edit, observed, now_ms);
        self.go(Stage::Changing(Box::new(change)), step)
    }

    fn on_changed(&mut self, edit: Edit, written: VersionedGrant, at: Now) -> Step {
        let verdict = self.verdict.take();
        match edit {
            Edit::Restore(_) => self.go(Stage::Reading, Step::Read),
            Edit::Announce(intent, _) => {
                self.written = Some(Box::new(written));
                self.on_announced(&intent, at.now_ms)
            }
            Edit::Withdraw(_) => self.refuse(Refusal::StoreUnavailable.into(), None),
            Edit::StoreRefreshToken { token, .. } => {
                self.written = Some(Box::new(written));
                self.precondition.refresh_fingerprints = vec![token.fingerprint];
                (self.intent, self.unresolved) = (None, None);
                self.examine(at)
            }
            Edit::StoreIdToken { failures: None, .. } => {
                self.serve(Box::new(written.record), Some("refreshed"))
            }
            // For a client the response is whole, whatever a server can do with it; and an access token has a life of its own.
            Edit::StoreIdToken { .. } if !self.want.is_for_id_token() => {
                self.serve(Box::new(written.record), Some("refreshed"))
            }
            Edit::StoreResponse { .. } if self.want.is_for_client() => {
                self.serve(Box::new(written.record), Some("refreshed"))
            }
            Edit::StoreResponse { .. } => self.refuse_as_decided(verdict, Some("refreshed")),
            Edit::StoreIdToken { .. } => {
                let hint = "the issuer's new ID token lives no longer than margin: lengthen its tokens' life or \
                            shorten margin";
                self.refuse(
                    Refused::new(Refusal::IssuerMisconfigured).because(hint),
                    Some("refreshed"),
                )
            }
            Edit::RecordFailure { dead: true, .. } | Edit::EndLogin { .. } => {
                self.refuse_as_decided(verdict, Some("dead"))
            }
            Edit::RecordFailure { .. } => self.refuse_as_decided(verdict, None),
            Edit::Suspect(_) => self.refuse_as_decided(verdict, Some("suspect")),
        }
    }

    /// Presents, unless so much time has passed since the announcement that other processes may count it as over.
    fn on_announced(&mut self, intent: &Intent, now_ms: u64) -> Step {
        let passed_ms = now_ms.saturating_sub(intent.started_at_ms);
        let limit_ms = whole_ms(self.config.policy.announcement_limit());
        if self.config.issuer == IssuerPolicy::Strict && passed_ms > limit_ms {
            return self.withdraw(now_ms);
        }
        self.consumed_nothing = false;
        self.go(Stage::Presenting, Step::Present)
    }

    fn withdraw(&mut self, now_ms: u64) -> Step {
        let before = self.unresolved.take();
        let owner = self.intent_owner(before);
        self.change(Edit::Withdraw(owner), now_ms)
    }

    /// Another writer came first; `record` is what it wrote.
    fn on_superseded(&mut self, edit: &Edit, record: Option<&GrantRecord>, now_ms: u64) -> Step {
        match edit {
            Edit::Withdraw(_) => self.refuse(Refusal::StoreUnavailable.into(), None),
            Edit::Restore(_) => self.go(Stage::Reading, Step::Read),
            _ => {
                self.superseded = true;
                let busy = Refused::new(Refusal::Busy).retry_after(Duration::from_secs(1));
                self.resolve(record, now_ms)
                    .unwrap_or_else(|| self.refuse(busy, None))
            }
        }
    }

    fn on_given_up(&mut self, edit: &Edit, now_ms: u64) -> Step {
        let verdict = self.verdict.take();
        match edit {
            // The announcement may have been written, and nothing will be presented under it.
            Edit::Announce(..) => self.withdraw(now_ms),
            // The failure stands, written or not.
            Edit::RecordFailure { .. } => self.refuse_as_decided(verdict, None),
            Edit::StoreRefreshToken { .. } => self.refuse(Refusal::StoreUnavailable.into(), Some("lost")),
            _ => self.refuse(Refusal::StoreUnavailable.into(), None),
        }
    }
}
