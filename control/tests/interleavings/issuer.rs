//! The issuer of the model: Dex with a reuse interval, or an issuer that punishes reuse of a token.

use std::collections::BTreeMap;

use tokenward_control::config::IssuerPolicy;
use tokenward_control::upstream::grant::attempt::Answer;
use tokenward_control::upstream::issuer::answer::Death;

use crate::records::refresh_token;

/// A refresh token's number; tokens are numbered in the order of their issue.
pub(crate) type Token = u32;

/// One user's login at the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ModelIssuer {
    policy: IssuerPolicy,
    reuse_ms: u64,
    /// The valid token.
    pub(crate) current: Token,
    previous: Option<Token>,
    /// The first token of this login.
    login: Token,
    /// The time of the last rotation.
    pub(crate) rotated_at_ms: Option<u64>,
    /// A strict issuer has received a token twice and ended the login.
    pub(crate) revoked: bool,
    last: Token,
    /// How often each token was exchanged or refused; failures of the issuer do not count.
    pub(crate) presented: BTreeMap<Token, u32>,
    /// How many tokens it refused.
    pub(crate) refusals: u32,
}

impl ModelIssuer {
    pub(crate) fn new(policy: IssuerPolicy, reuse_ms: u64) -> Self {
        Self {
            policy,
            reuse_ms,
            current: 1,
            previous: None,
            login: 1,
            rotated_at_ms: None,
            revoked: false,
            last: 1,
            presented: BTreeMap::new(),
            refusals: 0,
        }
    }

    /// A new login; as in Dex, the earlier one is gone.
    pub(crate) fn log_in(&mut self) -> Token {
        self.last += 1;
        (self.current, self.previous, self.rotated_at_ms) = (self.last, None, None);
        self.revoked = false;
        self.login = self.last;
        self.last
    }

    /// Whether `token` would still be exchanged at `now_ms`.
    pub(crate) fn accepts(&self, token: Token, now_ms: u64) -> bool {
        !self.revoked && (token == self.current || (self.is_reusable(now_ms) && self.previous == Some(token)))
    }

    fn is_reusable(&self, now_ms: u64) -> bool {
        self.policy == IssuerPolicy::Tolerant
            && self
                .rotated_at_ms
                .is_some_and(|rotated| now_ms <= rotated + self.reuse_ms && self.reuse_ms > 0)
    }

    /// `token` is presented and processed.
    pub(crate) fn refresh(&mut self, token: Token, now_ms: u64) -> Answer {
        *self.presented.entry(token).or_insert(0) += 1;
        if !self.accepts(token, now_ms) {
            self.refusals += 1;
            // A token of an earlier login does not affect this one.
            let is_reuse = token >= self.login && token < self.current;
            self.revoked |= self.policy == IssuerPolicy::Strict && is_reuse;
            return Answer::Dead {
                death: match self.policy {
                    IssuerPolicy::Tolerant => Death::Claimed,
                    IssuerPolicy::Strict => Death::InvalidGrant,
                },
                words: None,
            };
        }
        if !self.is_reusable(now_ms) {
            self.last += 1;
            self.previous = Some(std::mem::replace(&mut self.current, self.last));
            self.rotated_at_ms = Some(now_ms);
        }
        Answer::Refreshed {
            rotated: (self.current != token).then(|| refresh_token(self.current)),
            no_id_token: None,
            response: None,
            access_token: None,
        }
    }
}
