//! A request that reached a server with a readable token.

use std::rc::Rc;

use tokenward_protocol::freshness::{Freshness, FreshnessPolicy};

use crate::config::Server;
use crate::mcp_method::McpMethod;
use crate::request::RequestHead;
use crate::token_memo::{KnownToken, TokenUse};

/// A request with a readable token, at its server.
pub(super) struct Presented<'a> {
    pub(super) server: &'a Rc<Server>,
    pub(super) token: &'a Rc<KnownToken>,
    pub(super) token_use: TokenUse,
    pub(super) head: &'a RequestHead<'a>,
    pub(super) now_ms: u64,
}

impl Presented<'_> {
    /// What the request is for.
    pub(super) fn mcp_method(&self) -> McpMethod {
        self.head.mcp_method
    }

    /// The session handle that counts: an access token of our own names its session itself.
    pub(super) fn session(&self) -> Option<&str> {
        self.head.session.filter(|_| !self.token.is_own)
    }

    /// Whether a session is named besides the subject of the token.
    pub(super) fn names_session(&self) -> bool {
        self.token.is_own || self.head.session.is_some()
    }

    /// Marks the token if it is stale: a clock that steps back must not make it fresh again.
    pub(super) fn mark_if_stale(&self, policy: &FreshnessPolicy) {
        if policy.judge(self.token.claims.exp_seconds, self.now_ms) == Freshness::Stale {
            self.token.mark_stale();
        }
    }
}
