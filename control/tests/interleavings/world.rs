//! The state of the model: a store, an issuer, replicas with real [`Attempt`]s, and the effect of every action.

mod client;
mod running;
mod view;

pub(crate) use client::Client;
use client::Phase;
pub(crate) use running::Running;

use std::time::Duration;

use tokenward_control::config::IssuerPolicy;
use tokenward_control::store::Revision;
use tokenward_control::upstream::entitlement::Entitlement;
use tokenward_control::upstream::grant::attempt::{
    Answer, Attempt, AttemptConfig, Event, Finished, Now, Step, Verdict,
};
use tokenward_control::upstream::grant::decide::Want;
use tokenward_control::upstream::grant::record::GrantRecord;
use tokenward_control::upstream::issuer::answer::Transient;
use tokenward_control::upstream::issuer::introspection::Introspected;
use tokenward_control::upstream::policy::Policy;
use tokenward_control::upstream::streak::StreakKind;
use tokenward_protocol::token_endpoint::Reason;

use crate::issuer::{ModelIssuer, Token};
use crate::memory::Memory;
use crate::records::{id_token, logged_in, number_of, response};
use crate::setup::{Action, Budget, Setup};

pub(crate) const LEASE_MS: u64 = 15_000;
pub(crate) const POLICY: Policy = Policy {
    margin: Duration::from_secs(60),
    suspect_wait: Duration::from_secs(35),
    presentation_limit: Duration::from_secs(39),
    transient_limit: Duration::from_secs(1800),
    rejected_interval: Duration::from_secs(30),
};
/// The time at which the model starts.
const BEGIN_MS: u64 = 1_000_000_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) policy: IssuerPolicy,
    /// Whether the issuer reports on refresh tokens.
    pub(crate) introspects: bool,
    pub(crate) skews_ms: Vec<i64>,
    life_seconds: u64,
    pub(crate) pause_ms: u64,
    pub(crate) budget: Budget,
    pub(crate) record: GrantRecord,
    revision: u64,
    /// The highest revision so far: revisions come from the store's clock, and none occurs twice.
    newest_revision: u64,
    /// The store's lineage; changes whenever the store goes back.
    lineage: u32,
    lease: Option<(String, u64)>,
    pub(crate) issuer: ModelIssuer,
    pub(crate) replicas: Vec<Option<Running>>,
    holders: u32,
    /// The last verdict for callers.
    pub(crate) verdict: Option<Verdict>,
    /// Answers with a rotated token that no process will store: lost in transit, or with their process.
    pub(crate) lost_answers: u32,
    /// Attempts that crashed between their announcement and their presentation.
    pub(crate) unpresented_intents: u32,
    /// What each process knows better than the store.
    memories: Vec<Memory>,
    pub(crate) saved: Option<(GrantRecord, u64)>,
    /// A client that refreshes through the relay.
    pub(crate) client: Option<Client>,
    /// Processes that crashed, with what they knew.
    pub(crate) deaths: u32,
    /// Whether the store may go back in time.
    pub(crate) rewinds: bool,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let client = (setup.budget.presents > 0).then(|| Client::new(1));
        let record = logged_in(None, 1, BEGIN_MS, 0, client.is_some());
        Self {
            now_ms: BEGIN_MS,
            policy: setup.issuer,
            introspects: setup.introspects,
            skews_ms: setup.skews_ms.clone(),
            life_seconds: setup.life_seconds,
            pause_ms: setup.pause_ms,
            budget: setup.budget,
            record,
            revision: 1,
            newest_revision: 1,
            lineage: 0,
            lease: None,
            issuer: ModelIssuer::new(setup.issuer, setup.reuse_ms),
            replicas: setup.skews_ms.iter().map(|_| None).collect(),
            holders: 0,
            verdict: None,
            lost_answers: 0,
            unpresented_intents: 0,
            memories: setup.skews_ms.iter().map(|_| Memory::default()).collect(),
            saved: None,
            client,
            deaths: 0,
            rewinds: setup.budget.rewinds > 0,
        }
    }

    /// The token that the record holds.
    pub(crate) fn stored(&self) -> Option<Token> {
        self.record.refresh_token.as_ref().map(number_of)
    }

    /// Whether the record holds the announcement of a live process.
    pub(crate) fn has_live_intent(&self) -> bool {
        let mark = self.record.intent.as_ref().map(|intent| &intent.holder);
        let mut living = self.replicas.iter().flatten();
        living.any(|running| mark == Some(&running.holder))
    }

    fn clock(&self, replica: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.skews_ms[replica])
    }

    /// Applies `action`.
    pub(crate) fn happen(&mut self, action: Action) {
        match action {
            Action::Start(at) => {
                self.budget.starts -= 1;
                self.start(at);
            }
            Action::Present(at, older) => {
                self.budget.presents -= 1;
                self.present(at, older);
            }
            Action::Go(at) if self.is_for_client(at) => self.go_on_for_client(at),
            Action::Go(at) => {
                if let Some(event) = self.execute(at) {
                    self.deliver(at, event);
                }
            }
            Action::NotDone(at) => {
                self.budget.outages -= 1;
                self.unanswered(at);
            }
            Action::Unanswered(at) => {
                self.budget.outages -= 1;
                let _ = self.execute(at);
                self.unanswered(at);
            }
            Action::Arrive(at) => self.arrive(at),
            Action::Lose(at) if self.is_for_client(at) => {
                self.budget.lost -= 1;
                self.replicas[at] = None;
            }
            Action::Lose(at) => {
                self.budget.lost -= 1;
                if let Some(running) = &mut self.replicas[at]
                    && matches!(
                        running.answer.take(),
                        Some(Answer::Refreshed { rotated: Some(_), .. })
                    )
                {
                    self.lost_answers += 1;
                }
                self.deliver(at, transient(StreakKind::Unreachable, true));
            }
            Action::Fail(at) => {
                self.budget.failures -= 1;
                self.deliver(at, transient(StreakKind::Failing, false));
            }
            Action::Miss(at) => {
                self.budget.failures -= 1;
                self.deliver(at, transient(StreakKind::Unreachable, false));
            }
            Action::Crash(at) => {
                self.budget.crashes -= 1;
                self.crash(at);
            }
            Action::Pause => {
                self.budget.pauses -= 1;
                self.now_ms += self.pause_ms;
            }
            Action::LogIn => {
                self.budget.logins -= 1;
                let token = self.issuer.log_in();
                let is_relayed = self.client.is_some();
                self.record = logged_in(Some(&self.record), token, self.now_ms, self.lineage, is_relayed);
                self.revision = self.following();
            }
            Action::Save => {
                self.budget.saves -= 1;
                self.saved = Some((self.record.clone(), self.revision));
            }
            Action::Rewind => {
                self.budget.rewinds -= 1;
                (self.record, self.revision) = self.saved.clone().expect("possible only then");
                self.lineage += 1;
                self.lease = None;
            }
        }
    }

    /// An attempt on behalf of a caller whose token is stale.
    pub(crate) fn start(&mut self, at: usize) {
        let want = Want::id_token(Reason::Stale, "stale", Entitlement::default());
        self.start_for(at, want, None);
    }

    fn start_for(&mut self, at: usize, want: Want, phase: Option<Phase>) {
        self.holders += 1;
        let config = AttemptConfig {
            policy: POLICY,
            issuer: self.policy,
            patience: Duration::ZERO,
        };
        self.replicas[at] = Some(Running {
            attempt: Attempt::new(want, config),
            step: Step::TakeLease,
            answer: None,
            holder: format!("h{}", self.holders),
            rotated: None,
            phase,
            presents_since_ms: None,
        });
        self.deliver(at, Event::Started);
    }

    pub(crate) fn crash(&mut self, at: usize) {
        self.memories[at] = Memory::default();
        self.deaths += u32::from(self.rewinds);
        let Some(running) = self.replicas[at].take() else {
            return;
        };
        let rotated = matches!(running.answer, Some(Answer::Refreshed { rotated: Some(_), .. }));
        let marked = self
            .record
            .intent
            .as_ref()
            .is_some_and(|intent| intent.holder == running.holder);
        if rotated || running.attempt.stage_name() == "store_refresh_token" {
            self.lost_answers += 1;
        } else if marked && running.answer.is_none() {
            self.unpresented_intents += 1;
        }
    }

    /// Executes the step of a replica; `None` if the attempt is over.
    fn execute(&mut self, at: usize) -> Option<Event> {
        let replica = at;
        let running = self.replicas[at].as_mut()?;
        let (holder, answer) = (running.holder.clone(), running.answer.take());
        let consumed_nothing = running.attempt.consumed_nothing();
        let announces = running.attempt.stage_name() == "announce";
        let observed_lineage = running.attempt.lineage().cloned();
        Some(match running.step.clone() {
            Step::TakeLease if self.takes_lease(&holder) => Event::LeaseAcquired(holder),
            Step::TakeLease => Event::LeaseHeld,
            Step::ConfirmLease => Event::LeaseConfirmed(self.takes_lease(&holder)),
            Step::Read => Event::Read(Some(Box::new(self.observed(at)))),
            Step::Write {
                at: Revision(at),
                record,
            } if at == self.revision => {
                self.revision = self.following();
                self.record = *record;
                if announces && observed_lineage != self.observe_lineage(replica) {
                    Event::StoreFailed
                } else {
                    Event::Written(Revision(self.revision))
                }
            }
            Step::Write { .. } => Event::Conflict(Some(Box::new(self.conflicting(replica)))),
            Step::Present => Event::Answered(self.remembered(at, answer?)),
            Step::Introspect(_) if !self.introspects => Event::Introspected(Introspected::Withheld),
            Step::Introspect(token) if self.issuer.accepts(number_of(&token), self.now_ms) => {
                Event::Introspected(Introspected::Unused)
            }
            Step::Introspect(_) => Event::Introspected(Introspected::UsedUp),
            Step::Wait(_) | Step::Prepare(_) | Step::Examine => return None,
            Step::Finish(finished) => {
                self.memories[at].ended(consumed_nothing, &holder);
                if self.lease.as_ref().is_some_and(|(owner, _)| *owner == holder) {
                    self.lease = None;
                }
                let Finished { verdict, .. } = *finished;
                self.finished(at, verdict);
                return None;
            }
        })
    }

    fn following(&mut self) -> u64 {
        self.newest_revision += 1;
        self.newest_revision
    }

    fn remembered(&mut self, at: usize, answer: Answer) -> Answer {
        if let Answer::Refreshed {
            rotated: Some(token), ..
        } = &answer
            && let Some(running) = &mut self.replicas[at]
            && let Some(record) = running.attempt.record()
        {
            self.memories[at].rotated(record, token, self.now_ms);
            running.rotated = Some(token.fingerprint.clone());
        }
        answer
    }

    fn takes_lease(&mut self, holder: &str) -> bool {
        let free = self
            .lease
            .as_ref()
            .is_none_or(|(owner, until_ms)| owner == holder || *until_ms <= self.now_ms);
        if free {
            self.lease = Some((holder.to_owned(), self.now_ms + LEASE_MS));
        }
        free
    }

    fn unanswered(&mut self, at: usize) {
        match self.replicas[at].as_ref().map(|running| &running.step) {
            Some(Step::ConfirmLease) => self.deliver(at, Event::LeaseConfirmed(false)),
            Some(Step::Write { .. }) if self.is_for_client(at) => self.replicas[at] = None,
            // The lease was not released and expires by itself.
            Some(Step::Finish(_)) => {
                if let Some(running) = self.replicas[at].take() {
                    self.memories[at].ended(running.attempt.consumed_nothing(), &running.holder);
                }
            }
            Some(_) => self.deliver(at, Event::StoreFailed),
            None => {}
        }
    }

    fn arrive(&mut self, at: usize) {
        let now_ms = self.now_ms;
        if let Some(running) = &mut self.replicas[at]
            && let Some(token) = running
                .attempt
                .record()
                .and_then(|record| record.refresh_token.as_ref())
        {
            let mut answer = self.issuer.refresh(number_of(token), now_ms);
            if let Answer::Refreshed { response: given, .. } = &mut answer {
                *given = self
                    .client
                    .is_some()
                    .then(|| Box::new(response(now_ms, self.life_seconds)));
            }
            running.answer = Some(answer);
        }
    }

    /// Delivers an event to a replica, and executes the following steps that use nothing shared.
    fn deliver(&mut self, at: usize, event: Event) {
        let now = Now {
            now_ms: self.clock(at),
            jitter: u32::MAX,
        };
        let Some(running) = &mut self.replicas[at] else {
            return;
        };
        running.step = running.attempt.next(event, now);
        running.presents_since_ms = (running.step == Step::Present).then_some(self.now_ms);
        match running.step {
            Step::Wait(_) => self.deliver(at, Event::Waited),
            Step::Prepare(_) => self.deliver(at, Event::Ready),
            Step::Examine => {
                let token = id_token(self.now_ms, self.life_seconds);
                let newest = running.rotated.clone().or_else(|| held_by(&running.attempt));
                self.memories[at].renewed(&newest.unwrap_or_default(), &token);
                self.deliver(at, Event::Examined(Ok(token)));
            }
            _ => {}
        }
    }
}

fn held_by(attempt: &Attempt) -> Option<String> {
    let token = attempt.record()?.refresh_token.as_ref()?;
    Some(token.fingerprint.clone())
}

fn transient(kind: StreakKind, perhaps_done: bool) -> Event {
    Event::Answered(Answer::Transient(Transient {
        kind,
        retry_after: None,
        cause: String::new(),
        perhaps_done,
    }))
}
