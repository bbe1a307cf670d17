//! Compare-and-set on a grant's record, as steps: a change lands on the generation and refresh token that it was made
//! for, or not at all.

use std::time::Duration;

use tokenward_protocol::backoff::Backoff;

use super::super::record::{
    DeathReason, GrantRecord, GrantState, Intent, StoredIdToken, StoredRefreshToken, VersionedGrant,
};
use super::super::rotations::Rotation;
use super::{Event, ObservedGrant, Step};
use crate::store::{Lineage, Revision};
use crate::upstream::streak::Streak;

/// Waits between tries while the store does not answer.
const WAITS: Backoff = Backoff::new(50, 2_000);
/// How long a rotated refresh token is held in memory while the store does not answer: it exists nowhere else.
const STORE_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long a mere note (a failure, a death) is tried: it can be found out again.
const FINDING_PATIENCE: Duration = Duration::from_secs(2);

/// What a change is made for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Precondition {
    pub(super) generation: u64,
    /// Fingerprints of the refresh token that the record may hold: the presented one, and the new one, because an
    /// unanswered write may have landed.
    pub(super) refresh_fingerprints: Vec<String>,
}

impl Precondition {
    fn carries(&self, record: &GrantRecord) -> bool {
        let held = record.refresh_token.as_ref().map(|token| &token.fingerprint);
        record.generation == self.generation
            && !matches!(record.state, GrantState::SignedOut { .. })
            && held.is_some_and(|held| self.refresh_fingerprints.contains(held))
    }
}

/// What replacement of the attempt's own announcement. Another's is left alone: it may have been made in between, by a
/// replica that took the lease over, and tells the next one that the token may be used up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct IntentOwner {
    pub(super) holder: String,
    pub(super) replacement: Option<Intent>,
}

impl IntentOwner {
    fn settle(&self, record: &mut GrantRecord) {
        let ours = record
            .intent
            .as_ref()
            .is_some_and(|intent| intent.holder == self.holder);
        if !ours {
            return;
        }
        record.intent = self.replacement.clone();
        // Given up because of this very announcement, by somebody who could not know how it ended. We do.
        if let GrantState::Dead {
            reason: DeathReason::AnswerLost,
            ..
        } = record.state
        {
            record.state = GrantState::Active;
        }
    }
}

/// What changes. Doing it twice is the same as doing it once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Edit {
    /// Write-ahead: who presents what, before it is presented, and the lineage of writes on which it is the newest.
    Announce(Intent, Option<Lineage>),
    /// The outcome of an earlier refresh, which the store has lost.
    Restore(Box<Rotation>),
    /// The announced presentation was not made; what was there before it is there again.
    Withdraw(IntentOwner),
    /// The rotated refresh token.
    StoreRefreshToken(StoredRefreshToken),
    /// The new ID token; a streak when it is of no use.
    StoreIdToken {
        token: StoredIdToken,
        failures: Option<Streak>,
        owner: IntentOwner,
    },
    /// A failure that leaves the login as it is, or ends it.
    RecordFailure {
        streak: Streak,
        owner: IntentOwner,
        dead: bool,
    },
    /// The login is over.
    EndLogin { reason: DeathReason, owner: IntentOwner },
    /// The issuer refused, but somebody else may hold the good token.
    Suspect(IntentOwner),
}

impl Edit {
    /// Its name among the places of an attempt.
    pub(super) fn stage_name(&self) -> &'static str {
        match self {
            Self::Restore(_) => "put_back",
            Self::Announce(..) => "announce",
            Self::Withdraw(_) => "withdraw",
            Self::StoreRefreshToken(_) => "store_refresh_token",
            Self::StoreIdToken { .. } => "store_id_token",
            Self::RecordFailure { .. } => "note",
            Self::EndLogin { .. } => "end",
            Self::Suspect(_) => "suspect",
        }
    }

    fn patience(&self) -> Duration {
        match self {
            Self::Restore(_) | Self::Announce(..) => Duration::ZERO,
            // A owner that nothing was presented under costs a strict issuer's login as a real one does.
            Self::Withdraw(_) | Self::StoreRefreshToken(_) | Self::StoreIdToken { .. } => STORE_PATIENCE,
            Self::RecordFailure { .. } | Self::EndLogin { .. } | Self::Suspect(_) => FINDING_PATIENCE,
        }
    }

    fn apply(&self, record: &mut GrantRecord, now_ms: u64) {
        match self.clone() {
            Self::Restore(rotation) => rotation.restore(record),
            Self::Announce(intent, lineage) => {
                record.intent = Some(intent);
                record.lineage = lineage;
            }
            Self::Withdraw(owner) => owner.settle(record),
            Self::StoreRefreshToken(token) => {
                // A write that landed unheard is repeated: by then somebody may have announced the new token.
                record.intent = record
                    .intent
                    .take()
                    .filter(|intent| intent.fingerprint == token.fingerprint);
                record.refresh_token = Some(token);
                record.state = GrantState::Active;
                record.refreshed_at_ms = Some(now_ms);
                record.last_used_at_ms = now_ms;
            }
            Self::StoreIdToken {
                token,
                failures,
                owner,
            } => {
                owner.settle(record);
                record.id_token = Some(token);
                // The issuer still knows us. But whoever found the stored token dead since then is right: it is a later
                // one than this ID token came with.
                if let GrantState::Suspect { .. } = record.state {
                    record.state = GrantState::Active;
                }
                record.failures = failures;
                record.refreshed_at_ms = Some(now_ms);
                record.last_used_at_ms = now_ms;
            }
            Self::RecordFailure { streak, owner, dead } => {
                owner.settle(record);
                record.failures = Some(streak);
                record.last_used_at_ms = now_ms;
                if dead {
                    record.state = GrantState::Dead {
                        reason: DeathReason::IssuerFailing,
                        since_ms: now_ms,
                    };
                }
            }
            Self::EndLogin { reason, owner } => {
                owner.settle(record);
                record.state = GrantState::Dead {
                    reason,
                    since_ms: now_ms,
                };
                record.failures = None;
                record.last_used_at_ms = now_ms;
            }
            Self::Suspect(owner) => {
                owner.settle(record);
                record.state = GrantState::Suspect { since_ms: now_ms };
                record.failures = None;
                record.last_used_at_ms = now_ms;
            }
        }
    }
}

/// How a change goes on.
pub(super) enum Transition {
    /// Do this next.
    Step(Step),
    /// It is in the store; the record as it is now.
    Done(Box<VersionedGrant>),
    /// A newer login, a sign-out or another refresh came first, and nothing was changed; what the store holds.
    Superseded(Option<Box<GrantRecord>>),
    /// The store did not answer for too long.
    GivenUp,
}

/// One change under way: read, compare, write, and all over again when somebody else wrote in between.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RecordChange {
    pub(super) edit: Edit,
    /// What was tried to write.
    tried: Option<Box<GrantRecord>>,
    /// The only revision that it may change.
    only_at: Option<Revision>,
    /// Tries that the store has left without an answer, and the waits after them together.
    unanswered: u32,
    waited: Duration,
}

impl RecordChange {
    pub(super) fn of(edit: Edit) -> Self {
        Self {
            edit,
            tried: None,
            only_at: None,
            unanswered: 0,
            waited: Duration::ZERO,
        }
    }

    /// A change of the very record that was on_read at, and of no later one: whoever has changed it since may have
    /// presented the token, or found out how an earlier presentation ended.
    pub(super) fn of_observed(edit: Edit, observed: &ObservedGrant, now_ms: u64) -> (Self, Step) {
        let mut change = Self::of(edit);
        change.only_at = Some(observed.revision);
        let step = change.write(observed.revision, observed.record.clone(), now_ms);
        (change, step)
    }

    /// A change of the record that the attempt itself wrote last: it is not read again before it is compared.
    pub(super) fn of_written(edit: Edit, written: VersionedGrant, now_ms: u64) -> (Self, Step) {
        let mut change = Self::of(edit);
        let step = change.write(written.revision, written.record, now_ms);
        (change, step)
    }

    fn write(&mut self, at: Revision, mut record: GrantRecord, now_ms: u64) -> Step {
        self.edit.apply(&mut record, now_ms);
        let record = Box::new(record);
        self.tried = Some(record.clone());
        Step::Write { at, record }
    }

    /// Whether the store has left a try without an answer.
    pub(super) fn is_waiting_for_store(&self) -> bool {
        !self.waited.is_zero()
    }

    /// Writes on top of what the store holds, if it is still what the change was made for.
    fn compare(
        &mut self,
        at: Revision,
        record: GrantRecord,
        precondition: &Precondition,
        now_ms: u64,
    ) -> Transition {
        let is_expected = self.only_at.is_none_or(|only_at| only_at == at);
        if is_expected && precondition.carries(&record) {
            Transition::Step(self.write(at, record, now_ms))
        } else {
            Transition::Superseded(Some(Box::new(record)))
        }
    }

    pub(super) fn next(&mut self, event: Event, precondition: &Precondition, now_ms: u64) -> Transition {
        match event {
            Event::Read(Some(observed)) => {
                self.compare(observed.revision, observed.record, precondition, now_ms)
            }
            Event::Conflict(Some(stored)) => {
                self.compare(stored.revision, stored.record, precondition, now_ms)
            }
            Event::Read(None) | Event::Conflict(None) => Transition::Superseded(None),
            Event::Written(revision) => match self.tried.take() {
                Some(record) => Transition::Done(Box::new(VersionedGrant {
                    revision,
                    record: *record,
                })),
                None => Transition::Step(Step::Read),
            },
            Event::StoreFailed if self.waited + WAITS.wait(self.unanswered) > self.edit.patience() => {
                Transition::GivenUp
            }
            Event::StoreFailed => {
                let wait = WAITS.wait(self.unanswered);
                self.waited += wait;
                self.unanswered = self.unanswered.saturating_add(1);
                Transition::Step(Step::Wait(wait))
            }
            // The wait is over.
            _ => Transition::Step(Step::Read),
        }
    }
}
