//! The servers' responses: a 401 to a token that looked fresh.
//!
//! The usual cause is an issuer's key rotation that the server has not noticed yet (Dex signs with a new key at once), so
//! the login is not at fault: the client gets 503 instead of a 401 at which it would discard its tokens, and the filter
//! calls control for a newly made token, once. If the server rejects that as well, the gate closes with backoff. A plain
//! 403 is about what the user may do, and passes.

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::refusal::FailedCall;
use super::state::Worker;
use super::watch::Watch;
use crate::flight::{CallCharge, CallRequest};
use crate::host::Host;
use crate::metric::Event;
use crate::reply::retry_after_seconds;
use crate::verdict::ResponseVerdict;

impl<H: Host> Worker<H> {
    /// Judges the server's response to a forwarded request. `names_invalid_token` is called for a 403 only: whether its
    /// challenge names the token as the fault (RFC 6750 §3.1).
    pub(crate) fn on_response(
        &mut self,
        watch: &Watch,
        status: u16,
        names_invalid_token: impl FnOnce() -> bool,
    ) -> ResponseVerdict {
        if status == 401 || (status == 403 && names_invalid_token()) {
            return self.on_rejection(watch, status);
        }
        // A server sends some responses before it reads the token.
        if status < 500
            && !matches!(status, 408 | 429)
            && self.token_states.rejects_new_tokens(&watch.token_key)
        {
            self.token_states.note_acceptance(&watch.token_key);
            let charge = CallCharge::default();
            self.recover(
                &watch.server,
                &watch.pair,
                &watch.token_key,
                charge,
                watch.mcp_method,
            );
        }
        ResponseVerdict::PassOn
    }

    fn on_rejection(&mut self, watch: &Watch, status: u16) -> ResponseVerdict {
        self.count(&watch.server, Event::ServerRejection(status));
        let at_once = ResponseVerdict::AsUnavailable {
            retry_after: retry_after_seconds(0),
        };
        if watch.rejections_counted < self.token_states.rejections_counted(&watch.token_key) {
            // The request was under way when another one's rejection was counted: no news about a token made since.
            return at_once;
        }
        self.replacements.remove(&watch.token_key);
        let now_ms = self.context.host.now_ms();
        if self.token_states.note_rejection(watch.token_key, now_ms) == 1 {
            self.replace_rejected(watch);
            return at_once;
        }
        let refused = self.refuse_failed(&FailedCall {
            server: &watch.server,
            pair: watch.pair,
            token_key: watch.token_key,
            refusal: Refusal::TokenRejected,
            retry_after_seconds: None,
            waiters: &[],
            mcp_method: watch.mcp_method,
            charge: CallCharge::default(),
            closes_gate: true,
        });
        let headers = refused.to_others.headers;
        let retry_after = headers.into_iter().find(|(name, _)| *name == "retry-after");
        retry_after.map_or(at_once, |(_, retry_after)| ResponseVerdict::AsUnavailable {
            retry_after,
        })
    }

    /// Calls control for a newly made token, in the background, if the rejected one is still in the memo. Otherwise the
    /// next request that presents it calls control.
    fn replace_rejected(&mut self, watch: &Watch) {
        let Some((token, session)) = self.memo.named(watch.token, &watch.token_key) else {
            return;
        };
        if !self.flights.has_room_for(&token) || self.flights.is_under_way(&watch.token_key) {
            return;
        }
        let request = CallRequest {
            token,
            session: session.map(SecretString::from),
            traceparent: None,
        };
        let mut flight = self.new_flight(&watch.server, watch.pair, request, Reason::Rejected);
        flight.background = true;
        self.flights.add(watch.token_key, flight);
    }
}
