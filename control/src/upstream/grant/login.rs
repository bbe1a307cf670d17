//! What a login that is put here means for the grant that is stored. Pure.

use tokenward_protocol::jwt::Claims;

use super::record::{
    DeathReason, FORMAT, GrantRecord, GrantState, StoredIdToken, StoredRefreshToken, is_newer, is_older,
};
use super::takeover::unresolved;
use crate::digest;
use crate::store::{Lineage, Revision};

/// What is known of a login that was put.
#[derive(Debug, Clone, Copy)]
pub struct PresentedLogin<'a> {
    /// Its ID token's claims, verified.
    pub claims: &'a Claims,
    /// Its ID token's fingerprint.
    pub id_token_fingerprint: &'a str,
    /// Its refresh token's fingerprint.
    pub refresh_fingerprint: Option<&'a str>,
}

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginAdmission {
    /// A new generation: everything of the older login is replaced.
    NewLogin,
    /// The same login with a newer ID token.
    NewerIdToken,
    /// Nothing new: the same login put again, or an older one.
    Unchanged,
}

impl PresentedLogin<'_> {
    /// Whether one of `retired`, which a sign-out left behind, is this login's. An issuer may make the same ID token for
    /// two logins of one second, so it names only a login that has nothing else.
    #[must_use]
    pub fn is_among(&self, retired: &[String]) -> bool {
        let own = self.refresh_fingerprint.unwrap_or(self.id_token_fingerprint);
        retired.iter().any(|fingerprint| fingerprint == own)
    }
}

/// The second (Unix time) from which on a token can only be of a login that was made after the last sign-out.
#[must_use]
pub fn valid_from_seconds(stored: &GrantRecord) -> Option<u64> {
    match stored.state {
        // Written by the version before, which did not say it.
        GrantState::SignedOut { since_ms } if stored.valid_from_seconds.is_none() && stored.sign_outs > 0 => {
            Some(since_ms / 1000 + 1)
        }
        _ => stored.valid_from_seconds,
    }
}

/// Whether a token that was issued then is of a login that has ended here, as against one that was never put.
#[must_use]
pub fn has_ended(stored: &GrantRecord, issued_at_seconds: Option<u64>) -> bool {
    let GrantState::SignedOut { since_ms } = stored.state else {
        return true;
    };
    let from = stored.valid_from_seconds.unwrap_or(0).max(since_ms / 1000 + 1);
    issued_at_seconds.is_none_or(|issued| issued < from)
}

/// Whether the user has signed out everywhere since `presented` was made: then it brings nothing back.
///
/// `iat` has seconds. In the second of the sign-out itself only a login that is recognised is an old one: a user who
/// comes back at once is not sent away.
#[must_use]
pub fn is_signed_out(stored: &GrantRecord, presented: PresentedLogin<'_>) -> bool {
    if stored.sign_outs == 0 || stored.retired.contains(&unreadable_marker()) {
        return false;
    }
    if presented.is_among(&stored.retired) {
        return true;
    }
    match (
        presented.claims.issued_at_seconds,
        valid_from_seconds(stored),
        stored.state,
    ) {
        (Some(issued), Some(from), GrantState::SignedOut { .. }) => issued.saturating_add(1) < from,
        (Some(issued), Some(from), _) => issued < from,
        _ => false,
    }
}

/// Judges `presented` against the `stored` record.
#[must_use]
pub fn judge(stored: Option<&GrantRecord>, presented: PresentedLogin<'_>) -> LoginAdmission {
    let Some(stored) = stored.filter(|record| !matches!(record.state, GrantState::SignedOut { .. })) else {
        return LoginAdmission::NewLogin;
    };
    let (newer, older) = match &stored.id_token {
        Some(token) => (
            is_newer(presented.claims, token),
            is_older(presented.claims, token),
        ),
        None => (true, false),
    };
    let current = stored
        .refresh_token
        .as_ref()
        .map(|token| token.fingerprint.as_str());
    match presented.refresh_fingerprint {
        // The aggregator only has what the login gave it: rotated away here long ago, and no news.
        Some(fingerprint)
            if Some(fingerprint) == stored.login_fingerprint.as_deref() || Some(fingerprint) == current =>
        {
            if newer {
                LoginAdmission::NewerIdToken
            } else {
                LoginAdmission::Unchanged
            }
        }
        // An issuer with one refresh token per user would have ended this login when it gave the stored one.
        Some(_) if older => LoginAdmission::Unchanged,
        Some(_) => LoginAdmission::NewLogin,
        None if newer => LoginAdmission::NewerIdToken,
        None => LoginAdmission::Unchanged,
    }
}

/// What is stored of a new login.
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// `iss`.
    pub issuer: String,
    /// The client that logged the user in.
    pub client_id: String,
    /// Its ID token.
    pub id_token: StoredIdToken,
    /// Its refresh token.
    pub refresh_token: Option<StoredRefreshToken>,
    /// The store's line of writes, looked up before the write.
    pub lineage: Option<Lineage>,
}

impl NewLogin {
    /// The record of this login in place of `stored`: a new generation, so that nothing of the older one lands on it.
    #[must_use]
    pub fn supersede(self, stored: Option<&GrantRecord>, now_ms: u64) -> GrantRecord {
        let signed_out = stored
            .filter(|record| record.sign_outs > 0 && matches!(record.state, GrantState::SignedOut { .. }));
        let valid_from_seconds = match signed_out {
            // A login of the very second of the sign-out; its own token must open it.
            Some(record) => {
                let issued = self.id_token.issued_at_seconds;
                let from = valid_from_seconds(record);
                issued.map_or(from, |issued| Some(from.map_or(issued, |from| from.min(issued))))
            }
            None => stored.and_then(|record| record.valid_from_seconds),
        };
        let retired = stored.map_or_else(Vec::new, |record| record.retired.clone());
        let is_retired = self
            .refresh_token
            .as_ref()
            .is_some_and(|token| retired.contains(&token.fingerprint));
        let state = if is_retired {
            GrantState::Dead {
                reason: DeathReason::Retired,
                since_ms: now_ms,
            }
        } else {
            GrantState::Active
        };
        GrantRecord {
            format: FORMAT,
            issuer: self.issuer,
            client_id: self.client_id,
            generation: stored.map_or(0, |record| record.generation) + 1,
            state,
            id_token: Some(self.id_token),
            login_fingerprint: self.refresh_token.as_ref().map(|token| token.fingerprint.clone()),
            refresh_token: self.refresh_token,
            intent: None,
            failures: None,
            sign_outs: stored.map_or(0, |record| record.sign_outs),
            valid_from_seconds,
            lineage: self.lineage,
            retired,
            logged_in_at_ms: now_ms,
            refreshed_at_ms: None,
            last_used_at_ms: now_ms,
        }
    }
}

impl NewLogin {
    /// The record of this login in place of one at `revision` that cannot be read. It may have been a sign-out
    /// everywhere, so it counts as one: no session and no token of before opens this grant, until it is put again.
    ///
    /// Generations and sign-outs go on above the revision. Each of them was a write of the record, so neither count can
    /// have been larger, and nothing that was made for the record of before passes for this one's.
    #[must_use]
    pub fn supersede_unreadable(self, revision: Revision, now_ms: u64) -> GrantRecord {
        let above = revision.0.saturating_add(1);
        let valid_from_seconds = self.id_token.issued_at_seconds;
        GrantRecord {
            generation: above,
            sign_outs: above,
            valid_from_seconds,
            retired: vec![unreadable_marker()],
            ..self.supersede(None, now_ms)
        }
    }
}

/// Stands among the retired tokens of a record that took the place of one that could not be read: no replica is known to have
/// signed out, so a login of before may be put again.
fn unreadable_marker() -> String {
    digest::hex_of_parts(&["the record of before could not be read"])
}

/// Remembered tokens that must not be presented again, per user.
const MAX_RETIRED: usize = 16;

/// What the end of a login leaves behind of `record`'s tokens: the fingerprints of those that must not be presented when
/// the same login is put again. Of a sign-out `everywhere` all of them, so that the login itself does not come back.
#[must_use]
pub fn retired(record: &GrantRecord, everywhere: bool) -> Vec<String> {
    let current = record.refresh_token.as_ref().map(|token| &token.fingerprint);
    let of_login = record
        .login_fingerprint
        .as_ref()
        .filter(|fingerprint| Some(*fingerprint) != current);
    let is_over =
        everywhere || matches!(record.state, GrantState::Dead { .. }) || unresolved(record).is_some();
    let id_token = record.id_token.as_ref().filter(|_| everywhere);
    let mut retired = record.retired.clone();
    if everywhere {
        let unreadable = unreadable_marker();
        retired.retain(|fingerprint| *fingerprint != unreadable);
    }
    let fingerprints = id_token.map(|token| &token.fingerprint).into_iter();
    for fingerprint in fingerprints.chain(of_login).chain(current.filter(|_| is_over)) {
        if !retired.contains(fingerprint) {
            retired.push(fingerprint.clone());
        }
    }
    let surplus = retired.len().saturating_sub(MAX_RETIRED);
    retired.drain(..surplus);
    retired
}
