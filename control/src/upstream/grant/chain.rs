//! A grant as its client sees it: which refresh tokens are of its login, and what answers them. Pure.

use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

use super::record::{GrantRecord, GrantState};
use super::relayed::StoredResponse;

/// How long the response to a refresh also answers the refresh token that it brought: the same request in two forms, or
/// of two processes, a moment apart.
const REPEATED_WITHIN: Duration = Duration::from_secs(60);

/// A stored response that belongs to the record's newest ID token.
#[derive(Debug, Clone, Copy)]
pub struct UsableResponse<'a> {
    /// The response.
    pub stored: &'a StoredResponse,
    /// When the first of its tokens expires, Unix ms; `None` if that is not known.
    pub expires_at_ms: Option<u64>,
}

impl UsableResponse<'_> {
    /// Whether it answers a client without a refresh: while more than half of its life is left; and for a client that
    /// presents the newest refresh token only as a repeated request.
    #[must_use]
    pub fn answers(&self, presents_newest: bool, now_ms: u64) -> bool {
        let age_ms = now_ms.saturating_sub(self.stored.made_at_ms);
        let is_young = match self.expires_at_ms {
            Some(until_ms) => age_ms < until_ms.saturating_sub(self.stored.made_at_ms) / 2,
            None => age_ms <= whole_ms(REPEATED_WITHIN),
        };
        is_young && (!presents_newest || age_ms <= whole_ms(REPEATED_WITHIN))
    }

    /// Whether its tokens are still fresh by `margin`.
    #[must_use]
    pub fn is_fresh(&self, margin: Duration, now_ms: u64) -> bool {
        self.expires_at_ms
            .is_some_and(|until_ms| now_ms.saturating_add(whole_ms(margin)) < until_ms)
    }
}

impl GrantRecord {
    /// Whether its login can be refreshed, as far as is known.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let has_ended = matches!(self.state, GrantState::Dead { .. } | GrantState::SignedOut { .. });
        self.refresh_token.is_some() && !has_ended
    }

    /// Whether `fingerprint` is this login's newest refresh token.
    #[must_use]
    pub fn has_newest(&self, fingerprint: &str) -> bool {
        (self.refresh_token.as_ref()).is_some_and(|token| token.fingerprint == fingerprint)
    }

    /// Whether `fingerprint` is a refresh token of this login: the newest, or one that a client holds or held.
    #[must_use]
    pub fn is_of_chain(&self, fingerprint: &str) -> bool {
        self.has_newest(fingerprint) || self.relayed.chain.iter().any(|held| held == fingerprint)
    }

    /// The stored response, unless its ID token is not the one of the record.
    #[must_use]
    pub fn usable_response(&self) -> Option<UsableResponse<'_>> {
        let stored = self.relayed.response.as_ref()?;
        let id_token_expires_at_ms = match &stored.id_token_fingerprint {
            None => None,
            Some(fingerprint) => {
                let token = (self.id_token.as_ref()).filter(|token| token.fingerprint == *fingerprint)?;
                Some(token.exp_seconds.saturating_mul(1000))
            }
        };
        let ends = stored
            .access_expires_at_ms
            .into_iter()
            .chain(id_token_expires_at_ms);
        Some(UsableResponse {
            stored,
            expires_at_ms: ends.min(),
        })
    }
}
