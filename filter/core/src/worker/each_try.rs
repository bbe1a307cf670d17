//! The module as an upstream HTTP filter: Envoy shows it each try of a request, also those that its router makes long after
//! the request was judged (ADR 17).
//!
//! Nothing is matched here, for a route may have rewritten host and path. What is no readable token is not judged: the filter
//! before the router has done that.

use tokenward_protocol::bearer::bearer_token;
use tokenward_protocol::refusal::Refusal;

use super::{Verdict, Worker};
use crate::config::EachTry;
use crate::host::Host;
use crate::request::RequestHead;

impl<H: Host> Worker<H> {
    /// A worker that looks at tries only.
    pub fn of_tries(host: H, each_try: EachTry) -> Self {
        Self {
            each_try: Some(each_try),
            ..Self::unconfigured(host)
        }
    }

    pub(super) fn on_try(&mut self, each_try: EachTry, head: &RequestHead<'_>) -> Verdict {
        let token = bearer_token(head.authorization.values()).ok();
        let known = token.and_then(|token| self.memo.look_up(token, (0, ""), None).ok());
        let late = |exp_seconds| each_try.is_late(exp_seconds, self.host.now_ms());
        match known {
            Some((known, _)) if late(known.claims.exp_seconds) => {
                self.refuse_without_server(Refusal::SentLate)
            }
            _ => Verdict::Continue,
        }
    }
}
