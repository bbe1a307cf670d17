//! The filter as an upstream HTTP filter: Envoy shows it each try of a request, also those that the router makes long
//! after the downstream filter judged the request (ADR 17).
//!
//! It matches no server, because a route may have rewritten host and path, and does not judge what is not a readable
//! token: the downstream filter has done that.

use tokenward_protocol::bearer::bearer_token;
use tokenward_protocol::refusal::Refusal;

use crate::config::EachTry;
use crate::context::Context;
use crate::digest_map::set_seed;
use crate::host::Host;
use crate::request::RequestHead;
use crate::token_memo::TokenMemo;
use crate::verdict::Verdict;

/// The filter that checks each try.
#[derive(Debug)]
pub struct EachTryFilter<H> {
    pub(crate) context: Context<H>,
    settings: EachTry,
    memo: TokenMemo,
}

impl<H: Host> EachTryFilter<H> {
    /// A filter under `settings`. The memo is keyed by random bytes: clients choose the tokens in it.
    pub(crate) fn new(host: H, settings: EachTry) -> Self {
        set_seed(host.random());
        Self {
            context: Context::unconfigured(host),
            settings,
            memo: TokenMemo::default(),
        }
    }

    /// Refuses a try with a token that expires too soon, or that must never leave the gateway: no filter has judged the
    /// request then.
    pub(crate) fn on_request(&mut self, head: &RequestHead<'_>) -> Verdict {
        let token = bearer_token(head.authorization.values()).ok();
        let known = token.and_then(|token| self.memo.look_up(token, (0, ""), None).ok());
        let Some((known, _)) = known else {
            return Verdict::Continue;
        };
        let now_ms = self.context.host.now_ms();
        let refusal = if self.settings.is_own(&known.claims.issuer) {
            Refusal::FilterMisconfigured
        } else if self.settings.is_late(known.claims.exp_seconds, now_ms) {
            Refusal::SentLate
        } else {
            return Verdict::Continue;
        };
        Verdict::Reply(self.context.refuse_without_server(refusal).into())
    }
}
