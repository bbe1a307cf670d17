//! A client that refreshes through the relay, beside the servers' callers: it holds a refresh token, presents it on any
//! replica, and takes what it is answered, unless the answer is lost.

use tokenward_control::store::Revision;
use tokenward_control::upstream::grant::attempt::{Step, Verdict};
use tokenward_control::upstream::grant::decide::{Decision, Want, decide};
use tokenward_control::upstream::grant::record::GrantRecord;
use tokenward_protocol::refusal::Refusal;

use super::{POLICY, Running, World};
use crate::issuer::Token;
use crate::records::{number_of, refresh_token};

/// What a client of the relay holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// The refresh token of its last answer, and the one before that, which another process of it may still present.
    pub(crate) held: Token,
    pub(crate) before: Token,
    /// The generation of the login that it is of.
    pub(crate) generation: u64,
}

impl Client {
    /// A client that has just logged in with `token`.
    pub(crate) fn new(token: Token) -> Self {
        Self {
            held: token,
            before: token,
            generation: 1,
        }
    }
}

/// How far a replica has come with a client's request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// An attempt is under way for the client that presented this; the record as it was read.
    Refreshing(Token, Box<GrantRecord>),
    /// The record is about to state that the client holds its newest token.
    HandingOut(Token),
    /// The answer with this token is on its way to the client.
    Answering(Token),
}

impl World {
    /// Whether the record of the login knows that a client holds `token`.
    pub(crate) fn is_known_as_held(&self, token: Token) -> bool {
        let fingerprint = refresh_token(token).fingerprint;
        self.record.relayed.chain.contains(&fingerprint)
    }

    /// Whether a replica hands out or answers.
    pub(super) fn is_for_client(&self, at: usize) -> bool {
        let phase = self.replicas[at]
            .as_ref()
            .and_then(|running| running.phase.as_ref());
        matches!(phase, Some(Phase::HandingOut(_) | Phase::Answering(_)))
    }

    /// Whether an answer is on its way to the client.
    pub(crate) fn is_answering(&self, at: usize) -> bool {
        let phase = self.replicas[at]
            .as_ref()
            .and_then(|running| running.phase.as_ref());
        matches!(phase, Some(Phase::Answering(_)))
    }

    /// The client presents a token at a replica, as the relay does: what the record answers is handed out, and an attempt is
    /// made where it must be refreshed.
    pub(crate) fn present(&mut self, at: usize, older: bool) {
        let Some(client) = self.client else {
            return;
        };
        let token = if older { client.before } else { client.held };
        let want = Want::response(refresh_token(token).fingerprint);
        let record = self.observed(at).record;
        match decide(&record, &want, &POLICY, self.clock(at)) {
            Decision::Serve => self.hand_out(at, token, &record),
            Decision::Refuse(refused) => self.verdict = Some(Verdict::Refuse(refused)),
            Decision::Refresh => {
                let phase = Phase::Refreshing(token, Box::new(record));
                self.start_for(at, want, Some(phase));
            }
        }
    }

    /// An attempt has ended.
    pub(super) fn finished(&mut self, at: usize, verdict: Verdict) {
        let phase = self.replicas[at].take().and_then(|running| running.phase);
        let Some(Phase::Refreshing(token, stored)) = phase else {
            self.verdict = Some(verdict);
            return;
        };
        match verdict {
            Verdict::Serve(record) => self.hand_out(at, token, &record),
            Verdict::Refuse(refused) => {
                let has_ended = matches!(refused.refusal, Refusal::NeedsLogin | Refusal::UnknownSession);
                let response = stored.usable_response();
                if !has_ended
                    && response.is_some_and(|response| response.is_fresh(POLICY.margin, self.clock(at)))
                {
                    self.hand_out(at, token, &stored);
                } else {
                    self.verdict = Some(Verdict::Refuse(refused));
                }
            }
        }
    }

    /// Begins to hand out the newest tokens of `record` if it is still what the store holds.
    fn hand_out(&mut self, at: usize, presented: Token, record: &GrantRecord) {
        let stored = self.record.clone();
        let is_same = stored.generation == record.generation
            && stored.state == record.state
            && stored.refresh_token == record.refresh_token
            && stored.is_of_chain(&refresh_token(presented).fingerprint);
        let Some(newest) = stored.refresh_token.clone().filter(|_| is_same) else {
            return;
        };
        let mut held = stored;
        held.relayed.hand_out(&newest.fingerprint);
        let is_known = held == self.record;
        let token = number_of(&newest);
        self.holders += 1;
        self.replicas[at] = Some(Running {
            phase: Some(if is_known {
                Phase::Answering(token)
            } else {
                Phase::HandingOut(token)
            }),
            step: Step::Write {
                at: Revision(self.revision),
                record: Box::new(held),
            },
            ..Running::idle(self.holders)
        });
    }

    /// The write that a client holds the newest token, then the answer's arrival.
    pub(super) fn go_on_for_client(&mut self, at: usize) {
        let Some(running) = self.replicas[at].take() else {
            return;
        };
        match (running.phase.clone(), running.step.clone()) {
            (Some(Phase::HandingOut(token)), Step::Write { at: expected, record })
                if expected == Revision(self.revision) =>
            {
                self.revision = self.following();
                self.record = *record;
                self.replicas[at] = Some(Running {
                    phase: Some(Phase::Answering(token)),
                    ..running
                });
            }
            (Some(Phase::Answering(token)), _) => {
                if let Some(client) = &mut self.client
                    && client.generation == self.record.generation
                    && token != client.held
                {
                    (client.before, client.held) = (client.held, token);
                }
                self.verdict = Some(Verdict::Serve(Box::new(self.record.clone())));
            }
            _ => {}
        }
    }
}
