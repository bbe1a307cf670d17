//! Leave to call control. A token that control has accepted needs none; of all others a pair, and the whole Envoy, may ask
//! about a bounded number: any client can make them up.
//!
//! A token that is turned away may come back, and then goes first: a part of each allowance is kept for tokens
//! that were turned away a moment ago. Forged ones are mostly presented once, a user's own again and again.

use tokenward_protocol::refusal::Refusal;

use super::{Presented, Worker};
use crate::flight::{CallCharge, Flight};
use crate::host::Host;
use crate::identity::{PairKey, SessionSource, TokenKey};
use crate::last_seen::LastSeen;
use crate::metric::Outcome;
use crate::pair::call_limit;
use crate::pair::gate::proves_token;
use crate::pair::record::{PAIR_CALL_MS, PAIR_CALLS, Record};
use crate::reply::Reply;

/// `Retry-After` of a token that is turned away for the first time.
const COME_BACK_MS: u64 = 1_000;
/// Between these two spans after it was turned away a token comes back. A client's second is a little shorter than ours.
const COMES_BACK_MS: std::ops::RangeInclusive<u64> = 750..=300_000;

/// What one worker knows of tokens' merits.
#[derive(Debug, Default)]
pub(super) struct CallHistory {
    /// Presented tokens for which control gave a token, and their pairs; when, Unix ms.
    accepted: LastSeen,
    /// When a token was turned away, Unix ms.
    turned_away: LastSeen,
}

/// There is no leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallDenied {
    /// Whether it is the pair's allowance that is used up, not the whole Envoy's.
    of_pair: bool,
    pub(super) retry_after_ms: u64,
}

impl<H: Host> Worker<H> {
    /// Leave to ask control about a token that no gate is known of.
    pub(super) fn leave(&mut self, token_key: &TokenKey, pair: &PairKey) -> Result<CallCharge, CallDenied> {
        if self.history.accepted.get(token_key).is_some() {
            return Ok(CallCharge::default());
        }
        let now_ms = self.host.now_ms();
        let turned_away_ms = self.history.turned_away.get(token_key);
        let returning =
            turned_away_ms.is_some_and(|at_ms| COMES_BACK_MS.contains(&now_ms.saturating_sub(at_ms)));
        match self.take(pair, returning, now_ms) {
            Ok(charge) => {
                self.history.turned_away.set(token_key, 0);
                Ok(charge)
            }
            Err(denied) => {
                let too_long_ago =
                    turned_away_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) > *COMES_BACK_MS.end());
                if too_long_ago {
                    self.history.turned_away.set(token_key, now_ms);
                }
                Err(if returning {
                    denied
                } else {
                    CallDenied {
                        retry_after_ms: COME_BACK_MS,
                        ..denied
                    }
                })
            }
        }
    }

    fn take(&self, pair: &PairKey, returning: bool, now_ms: u64) -> Result<CallCharge, CallDenied> {
        let try_pair = |record: &Record| record.calls.take(PAIR_CALL_MS, PAIR_CALLS, returning, now_ms);
        let of_pair = |retry_after_ms| CallDenied {
            of_pair: true,
            retry_after_ms,
        };
        // Looked at first, taken last: one pair that is over its bound costs no other pair anything.
        try_pair(&self.memory.read(&self.host, pair)).map_err(of_pair)?;
        let mut charge = CallCharge {
            of_envoy: self.history.accepted.get(pair).is_none(),
            of_pair: false,
        };
        if charge.of_envoy {
            call_limit::take(&self.host, returning, now_ms).map_err(|retry_after_ms| CallDenied {
                of_pair: false,
                retry_after_ms,
            })?;
        }
        let noted = self
            .memory
            .update(&self.host, pair, now_ms, |record| match try_pair(record) {
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
                    call_limit::settle(&self.host, false, now_ms);
                }
                return Err(of_pair(wait_ms));
            }
            // What cannot be counted is bounded by the whole Envoy's allowance only.
            Err(_) => {}
        }
        Ok(charge)
    }

    /// A question is over. `refusal` is `None` when control gave a token that could be used.
    pub(super) fn settle(&mut self, token_key: &TokenKey, flight: &Flight, refusal: Option<Refusal>) {
        let now_ms = self.host.now_ms();
        if refusal.is_none() {
            self.history.accepted.set(token_key, now_ms);
            self.history.accepted.set(flight.pair, now_ms);
        }
        if flight.charge.of_envoy {
            call_limit::settle(&self.host, !is_given_back(refusal), now_ms);
        }
    }

    /// Answers a request that has no leave: it may come back.
    pub(super) fn turn_away(&mut self, presented: &Presented<'_>, denied: CallDenied) -> Reply {
        let refusal = (Refusal::CallLimit, denied.retry_after_ms);
        if denied.of_pair {
            self.count_request(presented.server_index, Outcome::Gated(refusal.0));
            let pair = presented.token_use.pair;
            let line = self.note_and_log(presented.server_index, &pair, refusal.0, 1, true);
            return self
                .replies(presented.server_index, refusal.0, refusal.1, line)
                .for_waiter(presented.is_listener());
        }
        self.refuse_overload(presented.server_index, refusal)
    }

    /// Refuses because of what others do, not because of this pair: one WARN for each server and reason.
    pub(super) fn refuse_overload(
        &mut self,
        server_index: usize,
        (refusal, retry_after_ms): (Refusal, u64),
    ) -> Reply {
        self.count_request(server_index, Outcome::Gated(refusal));
        let pair = PairKey::new(self.server_name(server_index), SessionSource::Overload(refusal));
        let line = self.note_and_log(server_index, &pair, refusal, 1, true);
        self.replies(server_index, refusal, retry_after_ms, line)
            .for_waiter(false)
    }
}

impl<H: Host> Worker<H> {
    /// Gives the pair back what a question has taken, where nothing else is noted of it.
    pub(super) fn give_back_to_pair(&self, flight: &Flight) {
        let now_ms = self.host.now_ms();
        if flight.charge.of_pair {
            // What cannot be noted is whole again by itself.
            let _ = self.memory.update(&self.host, &flight.pair, now_ms, |record| {
                (give_back(record, flight.charge, None, now_ms), ())
            });
        }
    }

    /// Drops a question that has no leave. Requests that have joined it are turned away.
    pub(super) fn drop_call(&mut self, token_key: &TokenKey, denied: CallDenied) {
        let Some(flight) = self.flights.take(token_key) else {
            return;
        };
        let retry_after_ms = denied.retry_after_ms;
        self.pause_prefetch(*token_key, retry_after_ms.clamp(10_000, 60_000));
        for waiter in &flight.waiters {
            let reply = self.refuse_overload(flight.server, (Refusal::CallLimit, retry_after_ms));
            // A stream that is gone needs no answer.
            let _ = self.host.reply(waiter.stream, &reply);
        }
    }
}

/// Gives the pair back what a question has taken, if it was not in vain.
pub(super) fn give_back(
    record: &mut Record,
    charge: CallCharge,
    refusal: Option<Refusal>,
    now_ms: u64,
) -> bool {
    let given_back = charge.of_pair && is_given_back(refusal);
    if given_back {
        record.calls = record.calls.give_back(PAIR_CALL_MS, PAIR_CALLS, now_ms);
    }
    given_back
}

/// Whether a question has cost control nothing, or proved the presented token.
pub(super) fn is_given_back(refusal: Option<Refusal>) -> bool {
    refusal.is_none_or(|refusal| {
        let not_asked = matches!(
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
        proves_token(refusal) || not_asked || answered || unknown
    })
}
