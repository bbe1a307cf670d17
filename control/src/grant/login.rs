//! What a login that is put here means for the grant that is kept. Pure.

use tokenward_protocol::jwt::Claims;

use super::record::{GrantRecord, GrantState, is_newer, is_older};

/// What is known of a login that was put.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Its ID token's claims, verified.
    pub claims: &'a Claims,
    /// Its refresh token's fingerprint.
    pub refresh_fingerprint: Option<&'a str>,
}

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// A new generation: everything of the older login is replaced.
    NewLogin,
    /// The same login with a newer ID token.
    NewerIdToken,
    /// Nothing new: the same login put again, or an older one.
    Known,
}

/// Judges `presented` against the `kept` record.
#[must_use]
pub fn judge(kept: Option<&GrantRecord>, presented: Presented<'_>) -> Admission {
    let Some(kept) = kept.filter(|record| !matches!(record.state, GrantState::SignedOut { .. })) else {
        return Admission::NewLogin;
    };
    let (newer, older) = match &kept.id_token {
        Some(token) => (
            is_newer(presented.claims, token),
            is_older(presented.claims, token),
        ),
        None => (true, false),
    };
    let current = kept
        .refresh_token
        .as_ref()
        .map(|token| token.fingerprint.as_str());
    match presented.refresh_fingerprint {
        // The aggregator only has what the login gave it: rotated away here long ago, and no news.
        Some(mark) if Some(mark) == kept.login_fingerprint.as_deref() || Some(mark) == current => {
            if newer {
                Admission::NewerIdToken
            } else {
                Admission::Known
            }
        }
        // An issuer with one refresh token per user would have ended this login when it gave the kept one.
        Some(_) if older => Admission::Known,
        Some(_) => Admission::NewLogin,
        None if newer => Admission::NewerIdToken,
        None => Admission::Known,
    }
}
