//! Whether a login that control knows by a client's refresh token alone takes its place in the user's grant. Pure.

use super::admission::origin_after;
use super::login::NewLogin;
use super::record::{DeathReason, Extras, GrantRecord, GrantState, StoredIdToken, StoredRefreshToken};
use super::relayed::{Origin, Relayed, StoredResponse};
use crate::config::IssuerPolicy;

/// What becomes of such a login once the issuer has stated whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// The user's grant holds this very login, with a refresh token that is used up.
    SameLogin,
    /// It becomes the user's grant.
    NewLogin {
        /// The grant of before was dead because its refresh token had been used elsewhere: clients refresh past the relay.
        rotated_elsewhere: bool,
    },
    /// It stays beside the user's grant, which holds another live login.
    Apart,
    /// The user signed out, and this is a refresh, not a login.
    SignedOut,
}

/// Judges the login in `chain`, a record named by a refresh token, against the `user`'s own grant. `chain` has an ID token of
/// that user.
#[must_use]
pub fn attachment(user: Option<&GrantRecord>, chain: &GrantRecord, policy: IssuerPolicy) -> Attachment {
    let new_login = |rotated_elsewhere| Attachment::NewLogin { rotated_elsewhere };
    let Some(user) = user else {
        return new_login(false);
    };
    if let GrantState::SignedOut { .. } = user.state {
        return Attachment::SignedOut;
    }
    if is_same_login(user, chain) {
        return Attachment::SameLogin;
    }
    match (user.state, policy) {
        (GrantState::Dead { reason, .. }, _) => new_login(reason == DeathReason::Claimed),
        _ if user.refresh_token.is_none() => new_login(false),
        // Each login has a refresh token of its own there, and both stay good.
        (_, IssuerPolicy::Strict) => Attachment::Apart,
        // A login or refresh that came since.
        (_, IssuerPolicy::Tolerant) if is_older(chain, user) => Attachment::Apart,
        // At Dex only the newest login's refresh token works.
        (_, IssuerPolicy::Tolerant) => new_login(false),
    }
}

/// The same at an issuer with a refresh token for each login: every login stays in a record of its own, but for one that
/// the user's grant holds from the time before. `has_login_since`: control knows a login of the user after the last
/// sign-out.
#[must_use]
pub fn attachment_of_login(
    user: Option<&GrantRecord>,
    chain: &GrantRecord,
    has_login_since: bool,
) -> Attachment {
    let Some(user) = user else {
        return Attachment::Apart;
    };
    let has_ended = matches!(user.state, GrantState::SignedOut { .. });
    match is_same_login(user, chain) {
        true if has_ended => Attachment::SignedOut,
        true => Attachment::SameLogin,
        false if is_signed_out_with(Some(user), chain) => Attachment::SignedOut,
        // Known by its refresh token alone, it may be a login of before.
        false if has_ended && user.sign_outs > 0 && chain.whose().is_none() && !has_login_since => {
            Attachment::SignedOut
        }
        false => Attachment::Apart,
    }
}

fn is_same_login(user: &GrantRecord, chain: &GrantRecord) -> bool {
    let registered = user.login_fingerprint.as_deref();
    let mut held = chain.relayed.chain.iter();
    held.any(|held| registered == Some(held) || user.is_of_chain(held))
}

fn is_older(one: &GrantRecord, other: &GrantRecord) -> bool {
    let made = |record: &GrantRecord| {
        let token = record.id_token.as_ref();
        token.map(|token| (token.issued_at_seconds.unwrap_or(0), token.exp_seconds))
    };
    made(one) < made(other)
}

/// The tokens of a login, sealed for the user's grant.
#[derive(Debug, Clone)]
pub struct MovedTokens {
    /// Its newest ID token.
    pub id_token: StoredIdToken,
    /// Its newest refresh token.
    pub refresh_token: StoredRefreshToken,
    /// Its newest token response.
    pub response: Option<StoredResponse>,
}

/// The user's grant after the login of `chain` with these `tokens` took its place there; `user` is the grant of before.
#[must_use]
pub fn attached(
    user: Option<&GrantRecord>,
    chain: &GrantRecord,
    tokens: MovedTokens,
    is_same_login: bool,
    now_ms: u64,
) -> GrantRecord {
    let newest = tokens.refresh_token.fingerprint.clone();
    let mut relayed = Relayed {
        origin: origin_after(user),
        response: tokens.response,
        ..Relayed::default()
    };
    let of_user = user.filter(|_| is_same_login);
    let held_before = of_user.map_or(&[][..], |user| &user.relayed.chain);
    for held in held_before.iter().chain(&chain.relayed.chain) {
        relayed.hand_out(held);
    }
    // Moved late, a token of the user's grant may be newer. Its refresh token is the login's all the same.
    let id_token = match of_user {
        Some(user) if is_older(chain, user) => user.id_token.clone(),
        _ => Some(tokens.id_token.clone()),
    };
    match of_user {
        Some(user) => GrantRecord {
            state: GrantState::Active,
            id_token,
            refresh_token: Some(tokens.refresh_token),
            intent: None,
            failures: None,
            lineage: chain.lineage.clone(),
            refreshed_at_ms: chain.refreshed_at_ms,
            last_used_at_ms: now_ms,
            relayed,
            ..user.clone()
        },
        None => {
            let login = NewLogin {
                issuer: chain.issuer.clone(),
                client_id: chain.client_id.clone(),
                id_token: tokens.id_token,
                refresh_token: Some(tokens.refresh_token),
                lineage: chain.lineage.clone(),
                relayed,
                // Its access token is sealed for the record of `chain`; the response has it.
                extras: Extras {
                    access_token: None,
                    ..chain.extras.clone()
                },
            };
            let login_fingerprint = chain.relayed.chain.first().cloned();
            GrantRecord {
                login_fingerprint: login_fingerprint.or(Some(newest)),
                refreshed_at_ms: chain.refreshed_at_ms,
                ..login.supersede(user, now_ms)
            }
        }
    }
}

impl GrantRecord {
    /// The user whose login this is, as the digest of the key of the user's own grant, and that grant's count of sign-outs when
    /// the login became known. `None`: the record is the user's own grant, or its user is not known.
    #[must_use]
    pub fn whose(&self) -> Option<(&str, u64)> {
        match (&self.extras.of_user, &self.relayed.origin) {
            (Some(of_user), _) => Some((&of_user.user, of_user.sign_outs)),
            (None, Origin::Apart { user, sign_outs }) => Some((user, *sign_outs)),
            (None, _) => None,
        }
    }
}

/// Whether `login`, which has a record beside the `user`'s own grant, has ended with a sign-out of the user.
#[must_use]
pub fn is_signed_out_with(user: Option<&GrantRecord>, login: &GrantRecord) -> bool {
    (login.whose()).is_some_and(|(_, then)| user.is_some_and(|user| user.sign_outs != then))
}
