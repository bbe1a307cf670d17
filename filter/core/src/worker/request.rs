//! A request's headers have arrived: find its server and its token, then forward, replace, call control or refuse.

use std::rc::Rc;

use tokenward_protocol::bearer::{bearer_token, why_malformed};
use tokenward_protocol::refusal::Refusal;

use super::presented::Presented;
use super::state::Worker;
use crate::config::{Server, Unmatched};
use crate::decision::{Decision, Standing, decide, own_standing, standing};
use crate::flight::CallCharge;
use crate::host::{Host, StreamId};
use crate::identity::{PairKey, SessionSource};
use crate::metric::RequestOutcome;
use crate::request::RequestHead;
use crate::server_match::ServerMatch;
use crate::verdict::Verdict;

impl<H: Host> Worker<H> {
    /// Judges a request.
    pub(crate) fn on_request(&mut self, stream: StreamId, head: &RequestHead<'_>) -> Verdict {
        if head.path.is_empty() || head.authority.is_empty() {
            return self.refuse_without_server(Refusal::UnreadableRequest);
        }
        let host = &self.context.host;
        let now_ms = host.now_ms();
        if self.state_missing
            && let Some(verdict) = self.without_state(head, now_ms)
        {
            return verdict;
        }
        let host = &self.context.host;
        let found = self
            .routes
            .find(&self.config, host, head.authority, head.path, now_ms);
        match found {
            ServerMatch::Server(index) => match self.config.table.servers.get(index).cloned() {
                Some(server) => self.on_server_request(stream, head, &server, now_ms),
                None => self.refuse_without_server(Refusal::UnknownServer),
            },
            ServerMatch::UnknownAnnotation => self.refuse_without_server(Refusal::UnknownServer),
            ServerMatch::Unmatched => self.refuse_without_server(Refusal::Unmatched),
            ServerMatch::UnreadableHost => self.refuse_without_server(Refusal::UnreadableRequest),
            ServerMatch::None if self.carries_own(head) => self.refuse_without_server(Refusal::WrongAudience),
            ServerMatch::None => {
                self.context.count_without_server(RequestOutcome::Passed);
                Verdict::Continue
            }
        }
    }

    /// Whether a request that only passes because nothing matches it carries an access token of our own, which must not
    /// leave the gateway. What is listed as unprotected leads where an operator says.
    fn carries_own(&mut self, head: &RequestHead<'_>) -> bool {
        let takes_own = self.config.table.authorization_server.is_some();
        if !takes_own || !matches!(self.config.unmatched, Unmatched::Pass) {
            return false;
        }
        let token = bearer_token(head.authorization.values());
        let known = token.map(|token| self.memo.look_up(token, (usize::MAX, ""), None));
        matches!(known, Ok(Ok((known, _))) if known.is_own)
    }

    pub(super) fn refuse_without_server(&mut self, refusal: Refusal) -> Verdict {
        Verdict::Reply(self.context.refuse_without_server(refusal).into())
    }

    fn on_server_request(
        &mut self,
        stream: StreamId,
        head: &RequestHead<'_>,
        server: &Rc<Server>,
        now_ms: u64,
    ) -> Verdict {
        let token = bearer_token(head.authorization.values());
        let known = token.and_then(|token| {
            let memo = self
                .memo
                .look_up(token, (server.number, &server.name), head.session);
            memo.map_err(|fault| why_malformed(token, fault))
        });
        match known {
            Ok((known, token_use)) => self.on_presented(
                stream,
                &Presented {
                    server,
                    token: &known,
                    token_use,
                    head,
                    now_ms,
                },
            ),
            Err(refusal) => {
                // All of them share a pair, whatever session handles they make up, so none gets a response that depends
                // on how often others were refused.
                let pair = PairKey::new(&server.name, SessionSource::Anonymous);
                let refused = self.refuse_presented(server, &pair, refusal, head.mcp_method);
                let mut reply = refused.to_others;
                if let (Refusal::TokenTooLarge, Ok(token)) = (refusal, token) {
                    reply.name_token_bytes(token.len());
                }
                Verdict::Reply(reply.into())
            }
        }
    }

    fn on_presented(&mut self, stream: StreamId, presented: &Presented<'_>) -> Verdict {
        let (key, now_ms) = (presented.token_use.token_key, presented.now_ms);
        let policy = self.config.freshness;
        if presented.token_use.checked_at != self.checks_edition
            && let Err(refusal) = self.check(presented)
        {
            if refusal != Refusal::SignedOut {
                presented.mark_if_stale(&policy);
            }
            return self.refuse_token(presented, refusal);
        }
        let claims = &presented.token.claims;
        let judged = if presented.token.is_own {
            own_standing(claims, now_ms)
        } else {
            let distrusted = presented.token.was_stale() || self.token_states.is_rejected(&key, now_ms);
            Ok(standing(claims, presented.server, &policy, distrusted, now_ms))
        };
        let standing = match judged {
            Ok(Standing::Fresh) => return self.forward(presented),
            Ok(standing) => standing,
            Err(refusal) => {
                presented.mark_if_stale(&policy);
                return self.refuse_token(presented, refusal);
            }
        };
        let replacement = self.replacements.get(&key);
        let is_cached = replacement.is_some();
        let decision = decide(standing, replacement, &policy, now_ms);
        // Without a session handle nothing but the presented token itself may pass.
        let is_proven = !self.config.session_required || presented.names_session();
        if !matches!(decision, Decision::Forward { .. }) {
            presented.mark_if_stale(&policy);
            if !is_proven {
                return self.refuse_token(presented, Refusal::UnknownSession);
            }
        }
        match decision {
            Decision::Forward { prefetch } => {
                let verdict = self.forward(presented);
                if prefetch && is_proven {
                    self.prefetch(presented);
                }
                verdict
            }
            Decision::Replace {
                replacement,
                prefetch,
            } => {
                let method = presented.mcp_method();
                self.count_request(presented.server, RequestOutcome::ReplacedFromCache, method);
                self.watch = Some(self.watch_of(presented));
                if prefetch {
                    self.prefetch(presented);
                }
                Verdict::ContinueWith(replacement.authorization)
            }
            Decision::Call => {
                if is_cached {
                    // It is stale; a clock that steps back must not bring it back.
                    self.replacements.remove(&key);
                }
                self.pass_gate(stream, presented)
            }
        }
    }

    /// Forwards the presented token, and records once in a while that its pair works.
    fn forward(&mut self, presented: &Presented<'_>) -> Verdict {
        let method = presented.mcp_method();
        self.count_request(presented.server, RequestOutcome::Forwarded, method);
        self.watch = Some(self.watch_of(presented));
        let (token_use, every_ms) = (&presented.token_use, self.context.spans.warn_every_ms);
        // A moment further away than one span means that the clock stepped back.
        let settled_ms = token_use.settled_until_ms.saturating_sub(presented.now_ms);
        if settled_ms == 0 || settled_ms > every_ms {
            let (pair, key) = (&token_use.pair, &token_use.token_key);
            self.recover(presented.server, pair, key, CallCharge::default(), method);
            let until_ms = presented.now_ms.saturating_add(every_ms);
            self.memo.settle(presented.token, key, until_ms);
        }
        Verdict::Continue
    }

    fn refuse_token(&mut self, presented: &Presented<'_>, refusal: Refusal) -> Verdict {
        let (pair, method) = (&presented.token_use.pair, presented.mcp_method());
        let refused = self.refuse_presented(presented.server, pair, refusal, method);
        Verdict::Reply(refused.for_waiter(method).into())
    }
}
