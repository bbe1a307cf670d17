//! Compare-and-set on a grant's record, as steps: a change applies to the generation and refresh token for which it was
//! made, or not at all.

use std::time::Duration;

use tokenward_protocol::backoff::Backoff;

use super::super::record::{
    DeathReason, GrantRecord, GrantState, Intent, StoredAccessToken, StoredIdToken, StoredRefreshToken,
    VersionedGrant,
};
use super::super::relayed::{IssuerWords, Origin, StoredResponse};
use super::super::rotations::Rotation;
use super::{Event, ObservedGrant, Step};
use crate::store::{Lineage, Revision};
use crate::upstream::streak::Streak;

/// Waits between tries while the store does not answer.
const WAITS: Backoff = Backoff::new(50, 2_000);
/// How long a rotated refresh token is stored in memory while the store does not answer: it exists nowhere else.
const STORE_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long a finding (a failure, a death) is tried: a later attempt can find it again.
const FINDING_PATIENCE: Duration = Duration::from_secs(2);

/// What a change is made for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Precondition {
    pub(super) generation: u64,
    /// Fingerprints of the refresh tokens that the record may hold: the presented one, and the new one, because an
    /// unanswered write may have been done.
    pub(super) refresh_fingerprints: Vec<String>,
}

impl Precondition {
    fn matches(&self, record: &GrantRecord) -> bool {
        let stored = record.refresh_token.as_ref().map(|token| &token.fingerprint);
        record.generation == self.generation
            && !matches!(record.state, GrantState::SignedOut { .. })
            && !matches!(record.relayed.origin, Origin::Moved { .. })
            && stored.is_some_and(|stored| self.refresh_fingerprints.contains(stored))
    }
}

/// The attempt's own announcement and its replacement. The announcement of another holder is left alone: a replica that
/// took over the lease may have written it, and it warns the next one that the token may be used up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct IntentOwner {
    pub(super) holder: String,
    pub(super) replacement: Option<Intent>,
}

impl IntentOwner {
    fn settle(&self, record: &mut GrantRecord) {
        let is_own = record
            .intent
            .as_ref()
            .is_some_and(|intent| intent.holder == self.holder);
        if !is_own {
            return;
        }
        record.intent = self.replacement.clone();
        // Another process ended the login because of this very announcement, without its outcome. This process has the
        // outcome.
        if let GrantState::Dead {
            reason: DeathReason::AnswerLost,
            ..
        } = record.state
        {
            record.state = GrantState::Active;
        }
    }
}

/// An idempotent change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Edit {
    /// Write-ahead: the presentation, before it is made, and the lineage on which the record is the newest.
    Announce(Intent, Option<Lineage>),
    /// The outcome of an earlier refresh, which the store has lost.
    Restore(Box<Rotation>),
    /// The announced presentation was not made; the announcement is replaced by the previous one.
    Withdraw(IntentOwner),
    /// The rotated refresh token; whether a client receives it.
    StoreRefreshToken {
        token: StoredRefreshToken,
        for_client: bool,
    },
    /// The new ID token and the response or the access token that came with it; with a streak if the ID token cannot be used.
    StoreIdToken {
        token: StoredIdToken,
        response: Option<Box<StoredResponse>>,
        access_token: Option<Box<StoredAccessToken>>,
        failures: Option<Streak>,
        owner: IntentOwner,
    },
    /// A response without an ID token; with the streak that this is for callers which need one.
    StoreResponse {
        response: Box<StoredResponse>,
        streak: Streak,
        owner: IntentOwner,
    },
    /// A failure that leaves the login intact, or ends it.
    RecordFailure {
        streak: Streak,
        owner: IntentOwner,
        dead: bool,
    },
    /// The login has ended.
    EndLogin {
        reason: DeathReason,
        words: Option<IssuerWords>,
        owner: IntentOwner,
    },
    /// The issuer refused, but another process may hold the good token.
    Suspect(IntentOwner),
}

impl Edit {
    /// The name of the stage in which it is written.
    pub(super) fn stage_name(&self) -> &'static str {
        match self {
            Self::Restore(_) => "restore",
            Self::Announce(..) => "announce",
            Self::Withdraw(_) => "withdraw",
            Self::StoreRefreshToken { .. } => "store_refresh_token",
            Self::StoreIdToken { .. } => "store_id_token",
            Self::StoreResponse { .. } => "store_response",
            Self::RecordFailure { .. } => "record_failure",
            Self::EndLogin { .. } => "end_login",
            Self::Suspect(_) => "suspect",
        }
    }

    fn patience(&self) -> Duration {
        match self {
            Self::Restore(_) | Self::Announce(..) => Duration::ZERO,
            // An announcement without a presentation costs a strict issuer's login like a real one, so it is withdrawn
            // as persistently.
            Self::Withdraw(_)
            | Self::StoreRefreshToken { .. }
            | Self::StoreIdToken { .. }
            | Self::StoreResponse { .. } => STORE_PATIENCE,
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
            Self::StoreRefreshToken { token, for_client } => {
                // A write that was done without an answer is repeated; another process may have announced the new token
                // meanwhile.
                record.intent = record
                    .intent
                    .take()
                    .filter(|intent| intent.fingerprint == token.fingerprint);
                if for_client {
                    record.relayed.hand_out(&token.fingerprint);
                }
                record.refresh_token = Some(token);
                record.state = GrantState::Active;
                record.refreshed_at_ms = Some(now_ms);
                record.last_used_at_ms = now_ms;
            }
            Self::StoreIdToken {
                token,
                response,
                access_token,
                failures,
                owner,
            } => {
                owner.settle(record);
                record.id_token = Some(token);
                // A response has the access token in it, so none is stored twice.
                if access_token.is_some() || response.is_some() {
                    record.extras.access_token = access_token.map(|token| *token);
                }
                refreshed(record, response, failures, now_ms);
            }
            Self::StoreResponse {
                response,
                streak,
                owner,
            } => {
                owner.settle(record);
                refreshed(record, Some(response), Some(streak), now_ms);
            }
            Self::RecordFailure { streak, owner, dead } => {
                owner.settle(record);
                record.failures = Some(streak);
                record.last_used_at_ms = now_ms;
                if dead {
                    record.relayed.words = None;
                    record.state = GrantState::Dead {
                        reason: DeathReason::IssuerFailing,
                        since_ms: now_ms,
                    };
                }
            }
            Self::EndLogin { reason, words, owner } => {
                owner.settle(record);
                record.relayed.words = words;
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

/// The issuer has carried out a refresh.
fn refreshed(
    record: &mut GrantRecord,
    response: Option<Box<StoredResponse>>,
    failures: Option<Streak>,
    now_ms: u64,
) {
    // The issuer still accepts the login. A death found since then stands: it is about a later refresh token than the one
    // of this response.
    if let GrantState::Suspect { .. } = record.state {
        record.state = GrantState::Active;
    }
    if let Some(response) = response {
        record.relayed.response = Some(*response);
    }
    record.failures = failures;
    record.refreshed_at_ms = Some(now_ms);
    record.last_used_at_ms = now_ms;
}

/// How a change continues.
pub(super) enum Transition {
    /// The next step.
    Step(Step),
    /// Written; the record as it is now.
    Done(Box<VersionedGrant>),
    /// A newer login, a sign-out or another refresh came first, and nothing was changed. The record that the store
    /// holds.
    Superseded(Option<Box<GrantRecord>>),
    /// The store did not answer for too long.
    GivenUp,
}

/// A change in progress: read, compare, write, and again after a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RecordChange {
    pub(super) edit: Edit,
    /// The record of the last try.
    tried: Option<Box<GrantRecord>>,
    /// The only revision that it may change.
    only_at: Option<Revision>,
    /// Tries without an answer, and the sum of the waits after them.
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

    /// A change of the very revision that was read. A later writer may have presented the token, or learned how an
    /// earlier presentation ended.
    pub(super) fn of_observed(edit: Edit, observed: &ObservedGrant, now_ms: u64) -> (Self, Step) {
        let mut change = Self::of(edit);
        change.only_at = Some(observed.revision);
        let step = change.write(observed.revision, observed.record.clone(), now_ms);
        (change, step)
    }

    /// A change of the record that this attempt wrote last, without reading it again.
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

    /// Whether a try was left without an answer.
    pub(super) fn is_waiting_for_store(&self) -> bool {
        !self.waited.is_zero()
    }

    /// Writes on top of `record`, if it is still what the change was made for.
    fn compare(
        &mut self,
        at: Revision,
        record: GrantRecord,
        precondition: &Precondition,
        now_ms: u64,
    ) -> Transition {
        let is_expected = self.only_at.is_none_or(|only_at| only_at == at);
        if is_expected && precondition.matches(&record) {
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
