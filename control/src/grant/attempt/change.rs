//! Compare-and-set on a grant's record, as steps: a change lands on the generation and refresh token that it was made
//! for, or not at all.

use std::time::Duration;

use super::super::record::{DeathReason, GrantRecord, GrantState, Intent, KeptIdToken, KeptRefreshToken};
use super::{Event, Seen, Step};
use crate::streak::Streak;

/// Waits between tries while the store does not answer.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long a rotated refresh token is held in memory while the store does not answer: it exists nowhere else.
const KEEP_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long a mere note (a failure, a death) is tried: it can be found out again.
const NOTE_PATIENCE: Duration = Duration::from_secs(2);

/// What a change is made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Basis {
    pub(super) generation: u64,
    /// Fingerprints of the refresh token that the record may hold: the presented one, and the new one, because an
    /// unanswered write may have landed.
    pub(super) refresh_fingerprints: Vec<String>,
}

impl Basis {
    fn carries(&self, record: &GrantRecord) -> bool {
        let held = record.refresh_token.as_ref().map(|token| &token.fingerprint);
        record.generation == self.generation
            && !matches!(record.state, GrantState::SignedOut { .. })
            && held.is_some_and(|held| self.refresh_fingerprints.contains(held))
    }
}

/// What changes. Doing it twice is the same as doing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// Write-ahead: who presents what, before it is presented.
    Announce(Intent),
    /// The announced presentation was not made; what was there before it is there again.
    Withdraw { holder: String, before: Option<Intent> },
    /// The rotated refresh token.
    KeepRefreshToken(KeptRefreshToken),
    /// The new ID token; a streak when it is of no use.
    KeepIdToken {
        token: KeptIdToken,
        failures: Option<Streak>,
    },
    /// A failure that leaves the login as it is, or ends it.
    Note {
        streak: Streak,
        intent: Option<Intent>,
        dead: bool,
    },
    /// The login is over.
    End { reason: DeathReason },
    /// The issuer refused, but somebody else may hold the good token.
    Suspect { intent: Option<Intent> },
}

impl Edit {
    /// Its name among the places of an attempt.
    pub(super) fn place(&self) -> &'static str {
        match self {
            Self::Announce(_) => "announce",
            Self::Withdraw { .. } => "withdraw",
            Self::KeepRefreshToken(_) => "keep_refresh_token",
            Self::KeepIdToken { .. } => "keep_id_token",
            Self::Note { .. } => "note",
            Self::End { .. } => "end",
            Self::Suspect { .. } => "suspect",
        }
    }

    fn patience(&self) -> Duration {
        match self {
            Self::Announce(_) => Duration::ZERO,
            // A mark that nothing was presented under costs a strict issuer's login as a real one does.
            Self::Withdraw { .. } | Self::KeepRefreshToken(_) | Self::KeepIdToken { .. } => KEEP_PATIENCE,
            Self::Note { .. } | Self::End { .. } | Self::Suspect { .. } => NOTE_PATIENCE,
        }
    }

    fn apply(&self, record: &mut GrantRecord, now_ms: u64) {
        match self.clone() {
            Self::Announce(intent) => record.intent = Some(intent),
            Self::Withdraw { holder, before } => {
                if record
                    .intent
                    .as_ref()
                    .is_some_and(|intent| intent.holder == holder)
                {
                    record.intent = before;
                }
            }
            Self::KeepRefreshToken(token) => {
                record.refresh_token = Some(token);
                record.state = GrantState::Active;
                record.intent = None;
                record.refreshed_at_ms = Some(now_ms);
                record.last_used_at_ms = now_ms;
            }
            Self::KeepIdToken { token, failures } => {
                record.id_token = Some(token);
                record.state = GrantState::Active;
                record.failures = failures;
                record.intent = None;
                record.refreshed_at_ms = Some(now_ms);
                record.last_used_at_ms = now_ms;
            }
            Self::Note { streak, intent, dead } => {
                record.intent = intent;
                record.failures = Some(streak);
                record.last_used_at_ms = now_ms;
                if dead {
                    record.state = GrantState::Dead {
                        reason: DeathReason::IssuerFailing,
                        since_ms: now_ms,
                    };
                }
            }
            Self::End { reason } => {
                record.state = GrantState::Dead {
                    reason,
                    since_ms: now_ms,
                };
                record.intent = None;
                record.failures = None;
                record.last_used_at_ms = now_ms;
            }
            Self::Suspect { intent } => {
                record.state = GrantState::Suspect { since_ms: now_ms };
                record.intent = intent;
                record.failures = None;
                record.last_used_at_ms = now_ms;
            }
        }
    }
}

/// How a change goes on.
pub(super) enum Turn {
    /// Do this next.
    Step(Step),
    /// It is in the store; the record as it is now.
    Done(Box<GrantRecord>),
    /// A newer login, a sign-out or another refresh came first; nothing was changed.
    Superseded,
    /// The store did not answer for too long.
    GivenUp,
}

/// One change under way: read, compare, write, and all over again when somebody else wrote in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) edit: Edit,
    /// What was tried to write.
    tried: Option<Box<GrantRecord>>,
    waited: Duration,
    wait: Duration,
}

impl Change {
    pub(super) fn of(edit: Edit) -> Self {
        Self {
            edit,
            tried: None,
            waited: Duration::ZERO,
            wait: FIRST_WAIT,
        }
    }

    /// Whether the store has left a try without an answer.
    pub(super) fn is_held_up(&self) -> bool {
        !self.waited.is_zero()
    }

    pub(super) fn next(&mut self, event: Event, basis: &Basis, now_ms: u64) -> Turn {
        match event {
            Event::Read(Some(seen)) if basis.carries(&seen.record) => {
                let Seen { revision, mut record } = *seen;
                self.edit.apply(&mut record, now_ms);
                let record = Box::new(record);
                self.tried = Some(record.clone());
                Turn::Step(Step::Write { at: revision, record })
            }
            Event::Read(_) => Turn::Superseded,
            Event::Written => match self.tried.take() {
                Some(record) => Turn::Done(record),
                None => Turn::Step(Step::Read),
            },
            Event::StoreSilent if self.waited + self.wait > self.edit.patience() => Turn::GivenUp,
            Event::StoreSilent => {
                let wait = self.wait;
                self.waited += wait;
                self.wait = (wait * 2).min(LONGEST_WAIT);
                Turn::Step(Step::Wait(wait))
            }
            // Somebody else wrote in between, or the wait is over: look again.
            _ => Turn::Step(Step::Read),
        }
    }
}
