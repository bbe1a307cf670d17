//! Control's responses and the tick: every pause ends here, exactly once.

use std::rc::Rc;

use tokenward_protocol::filter_state::MAX_STATE_BYTES;
use tokenward_protocol::freshness::{Freshness, FreshnessPolicy};
use tokenward_protocol::jwt::{Claims, Malformed};
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{ControlAnswer, Reason, TokenAnswer, read_answer};

use super::call_permit::is_refunded;
use super::refusal::{FailedCall, prefetch_pause_ms};
use super::state::Worker;
use crate::decision::fits;
use crate::flight::Flight;
use crate::host::{CallId, Host};
use crate::identity::{SubjectDigest, TokenKey};
use crate::log::Level;
use crate::metric::{Event, RequestOutcome};
use crate::replacement::Replacement;

/// Longest response of control to a token request that is read into the sandbox.
pub const LONGEST_RESPONSE_BYTES: usize = 64 * 1024;

/// What the host got from control.
#[derive(Debug, Default)]
pub struct ControlResponse {
    /// HTTP status; 0 when the stream was reset after its headers.
    pub status: u16,
    /// Whether [`tokenward_protocol::token_endpoint::MARKER_HEADER`] was there.
    pub marked: bool,
    /// `Retry-After`.
    pub retry_after: Option<Vec<u8>>,
    /// The body; empty when it was longer than the host was told to read.
    pub body: Vec<u8>,
}

impl<H: Host> Worker<H> {
    /// Longest response that is read for this call, in bytes.
    pub(crate) fn longest_response(&self, call: CallId) -> usize {
        if self.is_poll(call) {
            MAX_STATE_BYTES
        } else {
            LONGEST_RESPONSE_BYTES
        }
    }

    /// Takes control's response to a call, or the host's notice that there will be none.
    pub(crate) fn on_control_response(&mut self, call: CallId, response: &ControlResponse) {
        if self.is_poll(call) {
            return self.on_poll_response(response);
        }
        let Some((key, flight)) = self.flights.take_by_call(call) else {
            return;
        };
        let said = read_answer(
            response.status,
            response.marked,
            response.retry_after.as_deref(),
            &response.body,
        );
        let result = match said {
            ControlAnswer::Token(token) => {
                let now_ms = self.context.host.now_ms();
                accept(&token, &flight, &self.config.freshness, now_ms).map_err(|refusal| (refusal, None))
            }
            ControlAnswer::Refused {
                refusal,
                retry_after_seconds,
            } => Err((refusal, retry_after_seconds)),
        };
        let refusal = result.as_ref().err().map(|(refusal, _)| *refusal);
        self.count(&flight.server, Event::ControlAnswer(refusal));
        self.settle(&key, &flight, refusal);
        match result {
            Ok(replacement) => self.deliver(key, &flight, replacement),
            Err((refusal, retry_after_seconds)) => {
                self.end_without_token(&key, &flight, refusal, retry_after_seconds);
            }
        }
    }

    /// Acts on the passing of one tick: pauses past their deadline end, and queued calls start.
    pub(crate) fn on_tick(&mut self) {
        self.ticks = self.ticks.saturating_add(1);
        if !self.gate_cache.is_empty() {
            self.flush_gate_cache();
        }
        self.context.report_withheld();
        self.keep_in_step();
        if self.flights.is_empty() {
            return;
        }
        for key in self.flights.queued() {
            self.start_in_background(key);
        }
        for key in self.flights.overdue(self.ticks) {
            if let Some(flight) = self.flights.take(&key) {
                let refusal = Refusal::ControlLate;
                self.count(&flight.server, Event::ControlAnswer(Some(refusal)));
                self.settle(&key, &flight, Some(refusal));
                self.end_without_token(&key, &flight, refusal, None);
            }
        }
    }

    fn deliver(&mut self, key: TokenKey, flight: &Flight, replacement: Replacement) {
        let authorization = Rc::clone(&replacement.authorization);
        self.pause_prefetch_while_near_expiry(key, replacement.exp_seconds);
        self.replacements.insert(key, replacement);
        // Where the server has rejected newly made tokens too, only its response shows whether this one is any better.
        if self.token_states.rejects_new_tokens(&key) {
            self.refund_pair(flight);
        } else {
            let method = flight.first_method();
            self.recover(&flight.server, &flight.pair, &key, flight.charge, method);
        }
        let host = &self.context.host;
        for waiter in &flight.waiters {
            // A closed stream needs nothing any more.
            if host.resume_with(waiter.stream, &authorization).is_ok() {
                self.count_request(&flight.server, RequestOutcome::Replaced, waiter.mcp_method);
            }
        }
        if flight.background && host.log_enabled(Level::Debug) {
            let (server, pair) = (&flight.server.name, flight.pair.short());
            host.log(
                Level::Debug,
                &format!("fetched ahead server={server} pair={pair}"),
            );
        }
    }

    /// Control may have nothing better yet than a token that is itself near expiry (the issuer is down, or its tokens
    /// are short-lived): calling again with every request would be a storm of the filter's own.
    fn pause_prefetch_while_near_expiry(&mut self, key: TokenKey, exp_seconds: u64) {
        let (policy, now_ms) = (&self.config.freshness, self.context.host.now_ms());
        if policy.judge(exp_seconds, now_ms) == Freshness::NearExpiry {
            let left_ms = policy.forward_until_ms(exp_seconds).saturating_sub(now_ms);
            self.pause_prefetch(key, left_ms.div_euclid(3).clamp(500, 10_000));
        } else {
            self.token_states.resume_prefetch(&key);
        }
    }

    /// Ends a flight that brought no token: refuses the requests that waited for it.
    pub(super) fn end_without_token(
        &mut self,
        key: &TokenKey,
        flight: &Flight,
        refusal: Refusal,
        retry_after_seconds: Option<u32>,
    ) {
        if flight.reason == Reason::Rejected && refusal == Refusal::NotRegistered {
            let now_ms = self.context.host.now_ms();
            self.token_states.note_irreplaceable(key, now_ms);
        }
        if flight.background {
            self.pause_prefetch(*key, prefetch_pause_ms(refusal, retry_after_seconds));
            let host = &self.context.host;
            if host.log_enabled(Level::Debug) {
                let (server, pair) = (&flight.server.name, flight.pair.short());
                let name = refusal.name();
                host.log(
                    Level::Debug,
                    &format!("not fetched ahead server={server} pair={pair} refusal={name}"),
                );
            }
        }
        if flight.waiters.is_empty() && flight.background && flight.reason != Reason::Rejected {
            // The token in use is still good: no request was refused, nothing is failing yet.
            if is_refunded(Some(refusal)) {
                self.refund_pair(flight);
            }
            return;
        }
        let replies = self.refuse_failed(&FailedCall::new(key, flight, refusal, retry_after_seconds));
        for waiter in &flight.waiters {
            // A closed stream needs no reply.
            let reply = replies.for_waiter(waiter.mcp_method);
            let _ = self.context.host.reply(waiter.stream, &reply);
        }
    }
}

/// Whether control's token may replace the presented one: it must be fresh by the filter's own margin, fit the server,
/// and, when the presented one is of the server's issuer too, name the same subject.
fn accept(
    answer: &TokenAnswer,
    flight: &Flight,
    policy: &FreshnessPolicy,
    now_ms: u64,
) -> Result<Replacement, Refusal> {
    if flight.server.is_opaque {
        return accept_opaque(answer, flight, policy, now_ms);
    }
    let claims = Claims::read(answer.access_token.as_bytes()).map_err(|fault| match fault {
        Malformed::TooLong => Refusal::TokenTooLarge,
        _ => Refusal::ControlGarbled,
    })?;
    let server = &flight.server;
    if fits(&claims, &server.delivered).is_err() {
        return Err(Refusal::AnswerUnfit);
    }
    let subject = SubjectDigest::new(&claims.subject);
    if flight.subject.is_some_and(|presented| presented != subject) {
        return Err(Refusal::AnswerUnfit);
    }
    // Without a login control lets an exchanged token stand for the presented one only while that is fresh.
    let exp_seconds = claims.exp_seconds.min(answer.expires_at);
    if policy.judge(exp_seconds, now_ms) == Freshness::Stale {
        return Err(match policy.judge(claims.exp_seconds, now_ms) {
            Freshness::Stale => Refusal::AnswerStale,
            Freshness::Fresh | Freshness::NearExpiry => Refusal::TokenExpired,
        });
    }
    Ok(Replacement {
        authorization: format!("Bearer {}", answer.access_token).into(),
        exp_seconds,
        server: server.number,
    })
}

/// The same for a server whose tokens the filter does not read. Its life is counted from now, because control's clock may be
/// another one.
fn accept_opaque(
    answer: &TokenAnswer,
    flight: &Flight,
    policy: &FreshnessPolicy,
    now_ms: u64,
) -> Result<Replacement, Refusal> {
    let token = answer.access_token.as_bytes();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(Refusal::ControlGarbled);
    }
    let exp_seconds = now_ms.div_euclid(1000).saturating_add(answer.expires_in);
    if policy.judge(exp_seconds, now_ms) == Freshness::Stale {
        return Err(Refusal::AnswerStale);
    }
    Ok(Replacement {
        authorization: format!("Bearer {}", answer.access_token).into(),
        exp_seconds,
        server: flight.server.number,
    })
}
