//! What a registered login means for the stored grant. Pure.

use tokenward_protocol::jwt::Claims;

use super::record::{
    DeathReason, Extras, FORMAT, GrantKey, GrantRecord, GrantState, OfUser, StoredIdToken,
    StoredRefreshToken, is_newer, is_older,
};
use super::relayed::{Origin, Relayed};
use super::takeover::unresolved;
use crate::digest;
use crate::store::{Lineage, Revision};

/// What is known of a login that is registered.
#[derive(Debug, Clone, Copy)]
pub struct PresentedLogin<'a> {
    /// Its ID token's claims, verified.
    pub claims: &'a Claims,
    /// Its ID token's fingerprint.
    pub id_token_fingerprint: &'a str,
    /// Its refresh token's fingerprint.
    pub refresh_fingerprint: Option<&'a str>,
}

/// What to do with a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginAdmission {
    /// A new generation replaces everything of the older login.
    NewLogin,
    /// The same login with a newer ID token.
    NewerIdToken,
    /// The same login registered again, or an older one.
    Unchanged,
}

impl PresentedLogin<'_> {
    /// Whether one of `retired`, which a sign-out left, belongs to this login. An issuer may issue the same ID token to
    /// two logins of one second, so its fingerprint only identifies a login without a refresh token.
    #[must_use]
    pub fn is_among(&self, retired: &[String]) -> bool {
        let own = self.refresh_fingerprint.unwrap_or(self.id_token_fingerprint);
        retired.iter().any(|fingerprint| fingerprint == own)
    }
}

/// Unix seconds: a token issued at or after this belongs to a login after the last sign-out.
#[must_use]
pub fn valid_from_seconds(stored: &GrantRecord) -> Option<u64> {
    match stored.state {
        // Written by the previous version, which did not store it.
        GrantState::SignedOut { since_ms } if stored.valid_from_seconds.is_none() && stored.sign_outs > 0 => {
            Some(since_ms / 1000 + 1)
        }
        _ => stored.valid_from_seconds,
    }
}

/// Whether a token issued at that time belongs to a login that has ended here, as opposed to one that was never
/// registered.
#[must_use]
pub fn has_ended(stored: &GrantRecord, issued_at_seconds: Option<u64>) -> bool {
    let GrantState::SignedOut { since_ms } = stored.state else {
        // Of a login that was only learned, a token may be too old without any end.
        let is_learned = stored.relayed.origin != Origin::Registered;
        let from = stored.valid_from_seconds.unwrap_or(0);
        return !is_learned || issued_at_seconds.is_none_or(|issued| issued < from);
    };
    let from = stored.valid_from_seconds.unwrap_or(0).max(since_ms / 1000 + 1);
    issued_at_seconds.is_none_or(|issued| issued < from)
}

/// Whether the user has signed out everywhere since `presented` was issued, so that it must not revive the grant.
///
/// `iat` has whole seconds. In the second of the sign-out only a recognised login counts as old, so that a user who
/// logs in again at once is accepted.
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
    match presented.refresh_fingerprint {
        // The aggregator only has the login's own tokens, which were rotated here long ago.
        Some(fingerprint)
            if Some(fingerprint) == stored.login_fingerprint.as_deref()
                || stored.is_of_chain(fingerprint) =>
        {
            if newer {
                LoginAdmission::NewerIdToken
            } else {
                LoginAdmission::Unchanged
            }
        }
        // An issuer with one refresh token per user would have ended this login when it issued the stored token.
        Some(_) if older => LoginAdmission::Unchanged,
        Some(_) => LoginAdmission::NewLogin,
        None if newer => LoginAdmission::NewerIdToken,
        None => LoginAdmission::Unchanged,
    }
}

/// Unix seconds: from when on tokens are accepted beside a login whose token was issued at `issued_at_seconds`, after the
/// sign-outs of `stored`. A login in the very second of the sign-out, whose own token must be accepted, is a second early.
fn valid_from_beside(stored: &GrantRecord, issued_at_seconds: Option<u64>) -> Option<u64> {
    let from = valid_from_seconds(stored);
    if stored.sign_outs == 0 || !matches!(stored.state, GrantState::SignedOut { .. }) {
        return stored.valid_from_seconds;
    }
    issued_at_seconds.map_or(from, |issued| Some(from.map_or(issued, |from| from.min(issued))))
}

/// `login`, a record of one login, as a login of the `user` whose own grant has the key `key`: after the sign-outs so far. A
/// new login is judged by what the user's own grant knows of the logins before.
#[must_use]
pub fn as_login_of(
    login: GrantRecord,
    key: &GrantKey,
    user: Option<&GrantRecord>,
    is_new: bool,
    now_ms: u64,
) -> GrantRecord {
    let of_user = OfUser {
        user: key.digest().to_owned(),
        sign_outs: user.map_or(0, |user| user.sign_outs),
    };
    let mut record = GrantRecord {
        extras: Extras {
            of_user: Some(of_user),
            ..login.extras.clone()
        },
        ..login
    };
    let Some(user) = user.filter(|_| is_new) else {
        return record;
    };
    let issued = record.id_token.as_ref().and_then(|token| token.issued_at_seconds);
    record.valid_from_seconds = record.valid_from_seconds.max(valid_from_beside(user, issued));
    let is_retired =
        (record.refresh_token.as_ref()).is_some_and(|token| user.retired.contains(&token.fingerprint));
    if is_retired && record.state == GrantState::Active {
        record.state = GrantState::Dead {
            reason: DeathReason::Retired,
            since_ms: now_ms,
        };
    }
    record
}

/// Whether `user`, a user's own grant, took the place of a record that could not be read: no sign-out is known, so the logins
/// of before may be registered again.
#[must_use]
pub fn replaced_unreadable(user: Option<&GrantRecord>) -> bool {
    user.is_some_and(|user| user.retired.contains(&unreadable_marker()))
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
    /// The store's lineage, looked up before the write.
    pub lineage: Option<Lineage>,
    /// What the relay needs of it.
    pub relayed: Relayed,
    /// What only some logins have.
    pub extras: Extras,
}

impl NewLogin {
    /// The record of this login in place of `stored`: a new generation, so that no write of an older one applies to it.
    #[must_use]
    pub fn supersede(self, stored: Option<&GrantRecord>, now_ms: u64) -> GrantRecord {
        let issued = self.id_token.issued_at_seconds;
        let valid_from_seconds = stored.and_then(|record| valid_from_beside(record, issued));
        let retired = stored.map_or_else(Vec::new, superseded);
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
            relayed: self.relayed,
            extras: self.extras,
        }
    }
}

impl NewLogin {
    /// The record of this login in place of an unreadable one at `revision`. The unreadable record may have been a
    /// sign-out everywhere, so it counts as one: no earlier session or token opens this grant until it is registered
    /// again.
    ///
    /// Generation and sign-outs continue above the revision. Each of their increments was a write of the record, so
    /// neither count can have been larger, and nothing that was made for the earlier record matches this one.
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

/// `record`, a user's own grant without a login, in place of an unreadable one at `revision`: as
/// [`NewLogin::supersede_unreadable`] has it.
#[must_use]
pub(super) fn above_unreadable(record: GrantRecord, revision: Revision) -> GrantRecord {
    let above = revision.0.saturating_add(1);
    GrantRecord {
        generation: above,
        sign_outs: above,
        retired: vec![unreadable_marker()],
        ..record
    }
}

/// Marks a record that replaced an unreadable one, among its retired fingerprints. No sign-out is known, so an earlier
/// login may be registered again.
fn unreadable_marker() -> String {
    digest::hex_of_parts(&["the record of before could not be read"])
}

/// The fingerprints that must not be presented again once `record` is superseded: those of before, and the refresh tokens of
/// clients that are used up. The newest may still be good: an issuer may have a refresh token for each login.
fn superseded(record: &GrantRecord) -> Vec<String> {
    let mut retired = record.retired.clone();
    let used_up = record
        .relayed
        .chain
        .iter()
        .filter(|held| !record.has_newest(held));
    add_retired(&mut retired, used_up);
    retired
}

/// Adds `fingerprints`; the oldest are dropped beyond the capacity.
pub(super) fn add_retired<'a>(retired: &mut Vec<String>, fingerprints: impl Iterator<Item = &'a String>) {
    for fingerprint in fingerprints {
        if !retired.contains(fingerprint) {
            retired.push(fingerprint.clone());
        }
    }
    let surplus = retired.len().saturating_sub(MAX_RETIRED);
    retired.drain(..surplus);
}

/// Capacity per user of fingerprints that must not be presented again.
const MAX_RETIRED: usize = 16;

/// The fingerprints of `record`'s tokens that must not be presented when the same login is registered again after its
/// end. For a sign-out `everywhere` all of them, so that the login itself cannot return.
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
    let held = record
        .relayed
        .chain
        .iter()
        .filter(|held| everywhere || !record.has_newest(held));
    let of_tokens = fingerprints.chain(of_login).chain(current.filter(|_| is_over));
    add_retired(&mut retired, held.chain(of_tokens));
    retired
}
