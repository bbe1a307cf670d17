//! Control's answers and the tick: every pause ends here, exactly once.

use std::rc::Rc;

use tokenward_protocol::freshness::{Freshness, FreshnessPolicy};
use tokenward_protocol::jwt::{Claims, Malformed};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, TokenAnswer, TokenReply, read_answer};

use super::Worker;
use super::leave::is_given_back;
use super::refuse::prefetch_pause_ms;
use crate::config::{AuthKind, Server};
use crate::decision::fits;
use crate::flight::Flight;
use crate::host::{CallId, Host, Level};
use crate::identity::{SubjectDigest, TicketKey};
use crate::outcome::{Event, Outcome};
use crate::replacement::Replacement;

/// Longest answer of control that is read into the sandbox.
pub const LONGEST_ANSWER_BYTES: usize = 64 * 1024;

/// What the host got from control.
#[derive(Debug, Default)]
pub struct ControlAnswer {
    /// HTTP status; 0 when the stream was reset after its headers.
    pub status: u16,
    /// Whether [`tokenward_protocol::token_endpoint::MARKER_HEADER`] was there.
    pub marked: bool,
    /// `Retry-After`.
    pub retry_after: Option<Vec<u8>>,
    /// The body; empty when it was longer than [`LONGEST_ANSWER_BYTES`].
    pub body: Vec<u8>,
}

impl<H: Host> Worker<H> {
    /// Control has answered a call, or the host says that it never will.
    pub fn on_control_answer(&mut self, call: CallId, answer: &ControlAnswer) {
        let Some((ticket, flight)) = self.flights.take_by_call(call) else {
            return;
        };
        let said = read_answer(
            answer.status,
            answer.marked,
            answer.retry_after.as_deref(),
            &answer.body,
        );
        let judged = match (said, &self.config, self.server(flight.server)) {
            (TokenReply::Token(token), Ok(config), Some(server)) => {
                judge(&token, server, &flight, &config.freshness, self.host.now_ms())
                    .map_err(|refusal| (refusal, None))
            }
            (
                TokenReply::Refused {
                    refusal,
                    retry_after_seconds,
                },
                ..,
            ) => Err((refusal, retry_after_seconds)),
            _ => Err((Refusal::FilterMisconfigured, None)),
        };
        let refusal = judged.as_ref().err().map(|(refusal, _)| *refusal);
        self.count(flight.server, Event::ControlAnswer(refusal));
        self.settle(&ticket, &flight, refusal);
        match judged {
            Ok(replacement) => self.deliver(ticket, &flight, replacement),
            Err((refusal, retry_after_seconds)) => {
                self.end_without_token(&ticket, &flight, refusal, retry_after_seconds);
            }
        }
    }

    /// Time passes: waits that are too long end, and calls that nobody has started yet are started.
    pub fn on_tick(&mut self) {
        self.ticks = self.ticks.saturating_add(1);
        if !self.held.is_empty() {
            self.release_all();
        }
        self.say_withheld();
        if self.flights.is_empty() {
            return;
        }
        for ticket in self.flights.not_started() {
            self.start_in_background(&ticket);
        }
        for ticket in self.flights.overdue(self.ticks) {
            if let Some(flight) = self.flights.take(&ticket) {
                let refusal = Refusal::ControlLate;
                self.count(flight.server, Event::ControlAnswer(Some(refusal)));
                self.settle(&ticket, &flight, Some(refusal));
                self.end_without_token(&ticket, &flight, Refusal::ControlLate, None);
            }
        }
    }

    /// Starts a question that no request waited for when it was noted. Without leave it is dropped, and requests that have
    /// joined it since are turned away.
    fn start_in_background(&mut self, ticket: &TicketKey) {
        let Some(pair) = self.flights.get(ticket).map(|flight| flight.pair) else {
            return;
        };
        let refusal = match self.leave(ticket, &pair) {
            Ok(taken) => {
                self.flights.takes(ticket, taken);
                self.start(ticket).err()
            }
            Err(no_leave) => return self.drop_question(ticket, no_leave),
        };
        if let Some(refusal) = refusal
            && let Some(flight) = self.flights.take(ticket)
        {
            self.settle(ticket, &flight, Some(refusal));
            self.end_without_token(ticket, &flight, refusal, None);
        }
    }

    fn deliver(&mut self, ticket: TicketKey, flight: &Flight, replacement: Replacement) {
        let authorization = Rc::clone(&replacement.authorization);
        self.pause_prefetch_while_near_expiry(ticket, replacement.exp_seconds);
        self.replacements.insert(ticket, replacement);
        // Where the server has rejected newly made tokens too, only its answer tells whether this one is any better.
        if self.notes.get(&ticket).is_none_or(|note| note.rejections < 2) {
            self.recover(flight.server, &flight.pair, &ticket, flight.taken);
        } else {
            self.give_back_to_pair(flight);
        }
        for waiter in &flight.waiters {
            // A stream that is gone needs nothing any more.
            if self.host.resume_with(waiter.stream, &authorization).is_ok() {
                self.count_request(flight.server, Outcome::Replaced);
            }
        }
        if flight.background && self.host.would_log(Level::Debug) {
            let server = self.server_name(flight.server);
            self.host.log(
                Level::Debug,
                &format!("fetched ahead server={server} pair={}", flight.pair.short()),
            );
        }
    }

    /// Control may have nothing better yet than a token that is itself near expiry (the issuer is down, or its tokens
    /// are short-lived): asking again with every request would be a storm of our own.
    fn pause_prefetch_while_near_expiry(&mut self, ticket: TicketKey, exp_seconds: u64) {
        let Ok(config) = &self.config else {
            return;
        };
        let now_ms = self.host.now_ms();
        if config.freshness.judge(exp_seconds, now_ms) == Freshness::NearExpiry {
            let left_ms = config
                .freshness
                .forward_until_ms(exp_seconds)
                .saturating_sub(now_ms);
            self.pause_prefetch(ticket, left_ms.div_euclid(3).clamp(500, 10_000));
        } else if let Some(note) = self.notes.get_mut(&ticket) {
            // No note is made for it: a full memory of notes forgets rejections.
            note.prefetch_after_ms = 0;
        }
    }

    fn end_without_token(
        &mut self,
        ticket: &TicketKey,
        flight: &Flight,
        refusal: Refusal,
        retry_after_seconds: Option<u32>,
    ) {
        if flight.background {
            self.pause_prefetch(*ticket, prefetch_pause_ms(refusal, retry_after_seconds));
            if self.host.would_log(Level::Debug) {
                let server = self.server_name(flight.server);
                let pair = flight.pair.short();
                self.host.log(
                    Level::Debug,
                    &format!(
                        "not fetched ahead server={server} pair={pair} refusal={}",
                        refusal.name()
                    ),
                );
            }
        }
        if flight.waiters.is_empty() && flight.background && flight.reason != Reason::Rejected {
            // The token in use is still good: nobody was refused, nothing is failing yet.
            if is_given_back(Some(refusal)) {
                self.give_back_to_pair(flight);
            }
            return;
        }
        let replies = self.refuse_flight(ticket, flight, refusal, retry_after_seconds);
        for waiter in &flight.waiters {
            // A stream that is gone needs no answer.
            let _ = self
                .host
                .reply(waiter.stream, &replies.for_waiter(waiter.is_listener));
        }
    }
}

/// Whether control's token may be put in place of the presented one: it must be fresh by the filter's own margin, fit
/// the server, and, when a user's own token is forwarded, name the same subject.
fn judge(
    answer: &TokenAnswer,
    server: &Server,
    flight: &Flight,
    policy: &FreshnessPolicy,
    now_ms: u64,
) -> Result<Replacement, Refusal> {
    let claims = Claims::read(answer.access_token.as_bytes()).map_err(|fault| match fault {
        Malformed::TooLong => Refusal::TokenTooLarge,
        _ => Refusal::ControlGarbled,
    })?;
    if fits(&claims, &server.delivered).is_err() {
        return Err(Refusal::AnswerUnfit);
    }
    if server.kind == AuthKind::Forward && flight.subject != Some(SubjectDigest::new(&claims.subject)) {
        return Err(Refusal::AnswerUnfit);
    }
    if policy.judge(claims.exp_seconds, now_ms) == Freshness::Stale {
        return Err(Refusal::AnswerStale);
    }
    Ok(Replacement {
        authorization: format!("Bearer {}", answer.access_token).into(),
        exp_seconds: claims.exp_seconds,
    })
}
