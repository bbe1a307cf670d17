//! Refusing: count the refusal in the pair's record, write one line at the right level, and make the reply.

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use super::call_permit::refund;
use super::state::Worker;
use crate::config::Server;
use crate::flight::{CallCharge, Flight, Waiter};
use crate::host::Host;
use crate::identity::{PairKey, TokenKey};
use crate::log::{RefusalLine, Refusals};
use crate::mcp_method::McpMethod;
use crate::metric::RequestOutcome;
use crate::pair::gate::{self, Closing};
use crate::reply::{Reply, listener_reply, refusal_reply};

/// The replies to requests that are refused together.
pub(super) struct Replies {
    to_listeners: Option<Reply>,
    pub(super) to_others: Reply,
}

impl Replies {
    /// The reply to one of them.
    pub(super) fn for_waiter(&self, mcp_method: McpMethod) -> Reply {
        match &self.to_listeners {
            Some(reply) if mcp_method.is_get() => reply.clone(),
            _ => self.to_others.clone(),
        }
    }
}

/// A call that brought no token, or a token that its server rejected.
pub(super) struct FailedCall<'a> {
    pub(super) server: &'a Server,
    pub(super) pair: PairKey,
    pub(super) token_key: TokenKey,
    pub(super) refusal: Refusal,
    /// Control's `Retry-After`.
    pub(super) retry_after_seconds: Option<u32>,
    pub(super) waiters: &'a [Waiter],
    /// What the first request was for.
    pub(super) mcp_method: McpMethod,
    pub(super) charge: CallCharge,
    /// Whether the gate closes. Where Envoy has no way to control a gate spares control nothing, and would outlast the
    /// fault.
    pub(super) closes_gate: bool,
}

impl<'a> FailedCall<'a> {
    /// The end of `flight` without a token.
    pub(super) fn new(
        token_key: &TokenKey,
        flight: &'a Flight,
        refusal: Refusal,
        retry_after_seconds: Option<u32>,
    ) -> Self {
        Self {
            server: &flight.server,
            pair: flight.pair,
            token_key: *token_key,
            refusal,
            retry_after_seconds,
            waiters: &flight.waiters,
            mcp_method: flight.first_method(),
            charge: flight.charge,
            closes_gate: flight.call.is_some() || refusal != Refusal::FilterMisconfigured,
        }
    }
}

/// How long a gate stays closed at the most where the filter has learned a server that the asked replica of control does not
/// know: in a rolling update that replica is a moment behind.
const UNKNOWN_SERVER_MS: u64 = 5_000;

impl<H: Host> Worker<H> {
    /// Refuses because of the presented token itself, without a call to control, so there is no gate to close.
    pub(super) fn refuse_presented(
        &mut self,
        server: &Server,
        pair: &PairKey,
        refusal: Refusal,
        mcp_method: McpMethod,
    ) -> Replies {
        self.count_request(server, RequestOutcome::Refused(refusal), mcp_method);
        let refusals = Refusals::one(refusal, mcp_method);
        // Probes and closing requests of aggregators come without a token as a matter of course, and clients learn from the
        // refusal of an access token of ours that they have to refresh: only those are refused as expired without a call.
        let line = if matches!(refusal, Refusal::MissingBearer | Refusal::TokenExpired) {
            let quiet = RefusalLine::QUIET;
            self.context.log_refusals(&server.name, pair, refusals, quiet);
            quiet
        } else {
            self.context.note_and_log(&server.name, pair, refusals)
        };
        self.replies(server, refusal, self.context.misconfigured_ms, line)
    }

    /// The replies to requests at `server`, by how often its pair was refused in a row.
    pub(super) fn replies(
        &self,
        server: &Server,
        refusal: Refusal,
        retry_after_ms: u64,
        line: RefusalLine,
    ) -> Replies {
        let too_often = server.listener_405_after.is_some_and(|most| line.in_a_row > most);
        Replies {
            to_listeners: too_often.then(|| listener_reply(refusal, server)),
            to_others: refusal_reply(refusal, Some(server), retry_after_ms),
        }
    }

    /// Closes the gate of a failed call, logs once for all requests that waited, and makes their replies.
    pub(super) fn refuse_failed(&mut self, failed: &FailedCall<'_>) -> Replies {
        let FailedCall { server, refusal, .. } = *failed;
        let (host, now_ms) = (&self.context.host, self.context.host.now_ms());
        let refusals = Refusals {
            requests: u32::try_from(failed.waiters.len()).unwrap_or(u32::MAX).max(1),
            ..Refusals::one(refusal, failed.mcp_method)
        };
        let asked_ms = u64::from(failed.retry_after_seconds.unwrap_or(0)).saturating_mul(1000);
        let (every_ms, misconfigured_ms) = (self.context.spans.warn_every_ms, self.context.misconfigured_ms);
        let key = failed.token_key.gate_bytes();
        let closing = Closing {
            key,
            refusal,
            retry_after_ms: asked_ms,
            now_ms,
            jitter: now_ms.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from_le_bytes(first_eight(&key)),
        };
        let mut times = self.config.gate;
        if refusal == Refusal::UnknownServer && self.learned.is_some() {
            times.misconfigured_ms = times.misconfigured_ms.min(UNKNOWN_SERVER_MS);
        }
        let noted = self.context.memory.update(host, &failed.pair, now_ms, |record| {
            let mut closed_ms = misconfigured_ms;
            if failed.closes_gate {
                let closed = gate::close(record.gate(&key).as_ref(), &closing, &times);
                closed_ms = closed.closed_until_ms.saturating_sub(now_ms);
                record.put_gate(closed);
            }
            refund(record, failed.charge, Some(refusal), now_ms);
            let line = record.note_refusals(refusals, every_ms, now_ms);
            (true, (line, closed_ms))
        });
        let (line, closed_ms) = noted.unwrap_or((RefusalLine::QUIET, asked_ms));
        for waiter in failed.waiters {
            self.count_request(server, RequestOutcome::Refused(refusal), waiter.mcp_method);
        }
        self.context
            .log_refusals(&server.name, &failed.pair, refusals, line);
        self.replies(server, refusal, closed_ms, line)
    }
}

/// How long no prefetch starts after one that was refused, in milliseconds.
pub(super) fn prefetch_pause_ms(refusal: Refusal, retry_after_seconds: Option<u32>) -> u64 {
    let asked_ms = u64::from(retry_after_seconds.unwrap_or(0)).saturating_mul(1000);
    let own_ms = match refusal.class() {
        RefusalClass::Transient => 5_000,
        RefusalClass::LoginNeeded | RefusalClass::Misconfigured => 60_000,
    };
    asked_ms.max(own_ms).min(300_000)
}

fn first_eight(key: &[u8; 16]) -> [u8; 8] {
    key.first_chunk::<8>().copied().unwrap_or_default()
}
