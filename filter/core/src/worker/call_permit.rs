//! Permission to call control. A token that control has accepted needs none. For all others a pair, and the whole Envoy,
//! may make a bounded number of calls: any client can make such tokens up.
//!
//! A token that is denied may return, and then has precedence: a part of each allowance is reserved for tokens that were
//! denied a moment ago. Forged tokens are mostly presented once, a user's own again and again.

use tokenward_protocol::refusal::Refusal;

use super::presented::Presented;
use super::state::Worker;
use crate::config::Server;
use crate::flight::{CallCharge, Flight};
use crate::host::Host;
use crate::identity::{PairKey, SessionSource, TokenKey};
use crate::log::Refusals;
use crate::mcp_method::McpMethod;
use crate::metric::RequestOutcome;
use crate::pair::call_limit;
use crate::pair::gate::proves_token;
use crate::pair::record::{PAIR_CALL_MS, PAIR_CALLS, Record};
use crate::reply::Reply;

/// `Retry-After` of a token that is denied for the first time.
const FIRST_DENIAL_MS: u64 = 1_000;

/// No call is permitted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallDenied {
    /// Whether the pair's allowance is used up, not the whole Envoy's.
    of_pair: bool,
    pub(super) retry_after_ms: u64,
}

impl<H: Host> Worker<H> {
    /// Permission to call control with a token that no gate is known of, and what it took of the allowances.
    pub(super) fn permit_call(&mut self, key: &TokenKey, pair: &PairKey) -> Result<CallCharge, CallDenied> {
        if self.call_history.is_accepted(key) {
            return Ok(CallCharge::default());
        }
        let now_ms = self.context.host.now_ms();
        let returning = self.call_history.is_returning(key, now_ms);
        match self.charge_call(pair, returning, now_ms) {
            Ok(charge) => {
                self.call_history.forget_denial(key);
                Ok(charge)
            }
            Err(denied) => {
                self.call_history.note_denied(key, now_ms);
                let retry_after_ms = if returning {
                    denied.retry_after_ms
                } else {
                    FIRST_DENIAL_MS
                };
                Err(CallDenied {
                    retry_after_ms,
                    ..denied
                })
            }
        }
    }

    fn charge_call(&self, pair: &PairKey, returning: bool, now_ms: u64) -> Result<CallCharge, CallDenied> {
        let (host, memory) = (&self.context.host, &self.context.memory);
        let try_pair = |record: &Record| record.calls.take(PAIR_CALL_MS, PAIR_CALLS, returning, now_ms);
        let of_pair = |retry_after_ms| CallDenied {
            of_pair: true,
            retry_after_ms,
        };
        // Read first, written last: a pair that is over its bound costs no other pair anything.
        try_pair(&memory.read(host, pair)).map_err(of_pair)?;
        let mut charge = CallCharge {
            of_envoy: !self.call_history.is_accepted_pair(pair),
            of_pair: false,
        };
        if charge.of_envoy {
            call_limit::take(host, returning, now_ms).map_err(|retry_after_ms| CallDenied {
                of_pair: false,
                retry_after_ms,
            })?;
        }
        let noted = memory.update(host, pair, now_ms, |record| match try_pair(record) {
            Ok(after) => {
                record.calls = after;
                (true, Ok(()))
            }
            Err(wait_ms) => (false, Err(wait_ms)),
        });
        match noted {
            Ok(Ok(())) => charge.of_pair = true,
            // Another worker took the last one.
            Ok(Err(wait_ms)) => {
                if charge.of_envoy {
                    call_limit::settle(host, false, now_ms);
                }
                return Err(of_pair(wait_ms));
            }
            // A call that cannot be counted is bounded by the whole Envoy's allowance only.
            Err(_) => {}
        }
        Ok(charge)
    }

    /// Settles the allowances of a call that is over. `refusal` is `None` when control gave a token that could be used.
    pub(super) fn settle(&mut self, key: &TokenKey, flight: &Flight, refusal: Option<Refusal>) {
        let now_ms = self.context.host.now_ms();
        if refusal.is_none() {
            self.call_history.note_accepted(key, flight.pair, now_ms);
        }
        if flight.charge.of_envoy {
            call_limit::settle(&self.context.host, !is_refunded(refusal), now_ms);
        }
    }

    /// Replies to a request for which no call is permitted: it may return.
    pub(super) fn refuse_call(&mut self, presented: &Presented<'_>, denied: CallDenied) -> Reply {
        let (refusal, server, method) = (Refusal::CallLimit, presented.server, presented.mcp_method());
        if !denied.of_pair {
            return self.refuse_overload(server, refusal, method, denied.retry_after_ms);
        }
        self.count_request(server, RequestOutcome::Gated(refusal), method);
        let line = self.note_and_log(presented, Refusals::one(refusal, method));
        self.replies(server, refusal, denied.retry_after_ms, line)
            .for_waiter(method)
    }

    /// Refuses because of what others do, not because of this pair: one WARN for each server and reason.
    pub(super) fn refuse_overload(
        &mut self,
        server: &Server,
        refusal: Refusal,
        mcp_method: McpMethod,
        retry_after_ms: u64,
    ) -> Reply {
        self.count_request(server, RequestOutcome::Gated(refusal), mcp_method);
        let pair = PairKey::new(&server.name, SessionSource::Overload(refusal));
        let refusals = Refusals::one(refusal, mcp_method);
        let line = self.context.note_and_log(&server.name, &pair, refusals);
        self.replies(server, refusal, retry_after_ms, line).to_others
    }

    /// Gives the pair back what a call has taken, where nothing else is written to its record.
    pub(super) fn refund_pair(&self, flight: &Flight) {
        let (host, now_ms) = (&self.context.host, self.context.host.now_ms());
        if flight.charge.of_pair {
            // An allowance that cannot be written is whole again by itself.
            let _ = self.context.memory.update(host, &flight.pair, now_ms, |record| {
                (refund(record, flight.charge, None, now_ms), ())
            });
        }
    }

    /// Drops a queued call that is not permitted. Requests that have joined it are refused.
    pub(super) fn drop_call(&mut self, key: TokenKey, flight: &Flight, denied: CallDenied) {
        let retry_after_ms = denied.retry_after_ms;
        self.pause_prefetch(key, retry_after_ms.clamp(10_000, 60_000));
        for waiter in &flight.waiters {
            let (refusal, method) = (Refusal::CallLimit, waiter.mcp_method);
            let reply = self.refuse_overload(&flight.server, refusal, method, retry_after_ms);
            // A closed stream needs no reply.
            let _ = self.context.host.reply(waiter.stream, &reply);
        }
    }
}

/// Gives the pair back what a call has taken, if it was not in vain. Whether the record has changed.
pub(super) fn refund(record: &mut Record, charge: CallCharge, refusal: Option<Refusal>, now_ms: u64) -> bool {
    let refunded = charge.of_pair && is_refunded(refusal);
    if refunded {
        record.calls = record.calls.give_back(PAIR_CALL_MS, PAIR_CALLS, now_ms);
    }
    refunded
}

/// Whether a call has cost control nothing, or proved the presented token.
pub(super) fn is_refunded(refusal: Option<Refusal>) -> bool {
    refusal.is_none_or(|refusal| {
        let not_received = matches!(
            refusal,
            Refusal::ControlUnreachable | Refusal::FilterMisconfigured
        );
        // Control had a token, though not one to be used.
        let answered = matches!(refusal, Refusal::AnswerStale | Refusal::AnswerUnfit);
        // Control looks for the session only after it has verified the token. Its gate is no better than one of a made-up
        // token all the same: with one good token any number of sessions can be made up.
        let unknown = matches!(
            refusal,
            Refusal::UnknownSession | Refusal::TokenExpired | Refusal::NotRegistered
        );
        proves_token(refusal) || not_received || answered || unknown
    })
}
