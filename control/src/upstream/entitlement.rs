//! Whether a caller's right to a grant still holds. Pure.

use crate::upstream::grant::record::{GrantRecord, GrantState};
use crate::upstream::grant::relayed::Origin;

/// What a caller's right to a grant rests on. A sign-out everywhere revokes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Entitlement {
    /// The user's count of sign-outs when the session was registered; `None` for a token without a session.
    pub sign_outs: Option<u64>,
    /// `iat` of the presented token, 0 if it has none; `None` if no token is presented.
    pub issued_at_seconds: Option<u64>,
    /// The presented token expired so long ago that it proves only a login which was registered, and not one that the relay
    /// has learned.
    pub only_registered: bool,
}

impl Entitlement {
    /// Whether the user has signed out everywhere since, the grant itself is signed out, or the token is too old for it.
    #[must_use]
    pub fn is_revoked(&self, record: &GrantRecord) -> bool {
        let session_over = self.sign_outs.is_some_and(|then| then != record.sign_outs);
        let token_over = match (record.valid_from_seconds, self.issued_at_seconds) {
            (Some(from), Some(issued)) => issued < from,
            _ => false,
        };
        let is_learned = record.relayed.origin != Origin::Registered;
        session_over
            || token_over
            || (self.only_registered && is_learned)
            || matches!(record.state, GrantState::SignedOut { .. })
    }
}
