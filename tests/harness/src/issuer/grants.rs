//! Refresh tokens: Dex's rules of rotation, reuse and expiry, and its one refresh token per user, connector and
//! client.

use std::collections::HashMap;

use super::clock::milliseconds;
use super::{RefreshTokenPolicy, wire};
use crate::secrets;

/// The user that a token is for, as a connector returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user_id: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) groups: Vec<String>,
}

/// A refresh token as Dex stores it.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) client_id: String,
    pub(crate) connector_id: String,
    pub(crate) identity: Identity,
    pub(crate) scopes: Vec<String>,
    /// `nonce` of the login, which is in each refreshed token too; empty without.
    pub(crate) nonce: String,
    pub(crate) created_ms: i64,
    secret: String,
    previous_secret: Option<String>,
    last_used_ms: i64,
}

impl Grant {
    pub(crate) fn refresh_token(&self) -> String {
        let token = wire::pair(&self.id, &self.secret);
        secrets::note(&token);
        token
    }

    /// With what the connector returns now. The user id of a grant never changes, whatever the connector returns.
    pub(crate) fn with_identity(self, identity: Identity) -> Self {
        Self {
            identity: Identity {
                user_id: self.identity.user_id.clone(),
                ..identity
            },
            ..self
        }
    }
}

/// A login that is to get a refresh token.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) client_id: String,
    pub(crate) connector_id: String,
    pub(crate) identity: Identity,
    pub(crate) scopes: Vec<String>,
    pub(crate) nonce: String,
}

/// Why a refresh token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantRefusal {
    /// Never issued, rotated away, revoked, or replaced by a newer login.
    Invalid,
    /// Issued to another client.
    OtherClient,
    /// Past `absoluteLifetime` or `validIfNotUsedFor`.
    Expired,
}

/// What a refresh does to a grant that may be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The connector is queried and the secret changes.
    Rotate,
    /// Inside the reuse interval: claims from the storage, the current secret again.
    Repeat,
}

#[derive(Debug, Default)]
pub(crate) struct GrantStore {
    /// A second login of a user leaves the first alive.
    keeps_each_login: bool,
    grants: HashMap<String, Grant>,
    /// Emails of all refresh ids ever issued.
    owners: HashMap<String, String>,
}

impl GrantStore {
    pub(crate) fn new(keeps_each_login: bool) -> Self {
        Self {
            keeps_each_login,
            ..Self::default()
        }
    }

    /// A login: the user's earlier refresh token at this client is gone.
    pub(crate) fn open(&mut self, now_ms: i64, login: Login) -> Grant {
        if !self.keeps_each_login {
            self.revoke(&login.identity.user_id, &login.client_id);
        }
        let grant = Grant {
            id: wire::new_id(),
            client_id: login.client_id,
            connector_id: login.connector_id,
            identity: login.identity,
            scopes: login.scopes,
            nonce: login.nonce,
            created_ms: now_ms,
            secret: wire::new_id(),
            previous_secret: None,
            last_used_ms: now_ms,
        };
        self.owners.insert(grant.id.clone(), grant.identity.email.clone());
        self.grants.insert(grant.id.clone(), grant.clone());
        grant
    }

    /// Removes the user's refresh token at a client; returns whether there was one.
    pub(crate) fn revoke(&mut self, user_id: &str, client_id: &str) -> bool {
        let before = self.grants.len();
        self.grants
            .retain(|_, grant| grant.identity.user_id != user_id || grant.client_id != client_id);
        self.grants.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.grants.clear();
    }

    /// Email of the user a refresh token was issued to, also long after it died.
    pub(crate) fn owner(&self, refresh_token: &str) -> Option<&str> {
        let (id, _) = wire::read_pair(refresh_token)?;
        self.owners.get(&id).map(String::as_str)
    }

    /// The grant behind a refresh token and what a refresh would do now. `client_id` is `None` for introspection.
    pub(crate) fn find(
        &self,
        now_ms: i64,
        policy: RefreshTokenPolicy,
        client_id: Option<&str>,
        refresh_token: &str,
    ) -> Result<(Grant, Step), GrantRefusal> {
        let (id, secret) = wire::read_pair(refresh_token).ok_or(GrantRefusal::Invalid)?;
        let grant = self.grants.get(&id).ok_or(GrantRefusal::Invalid)?;
        if client_id.is_some_and(|client_id| client_id != grant.client_id) {
            return Err(GrantRefusal::OtherClient);
        }
        let past = |since_ms: i64, limit: i64| limit > 0 && now_ms > since_ms + limit;
        let reuse_ms = milliseconds(policy.reuse_interval);
        let reusable = reuse_ms > 0 && !past(grant.last_used_ms, reuse_ms);
        if secret != grant.secret && !(reusable && grant.previous_secret.as_ref() == Some(&secret)) {
            return Err(GrantRefusal::Invalid);
        }
        if past(grant.created_ms, milliseconds(policy.absolute_lifetime))
            || past(grant.last_used_ms, milliseconds(policy.valid_if_not_used_for))
        {
            return Err(GrantRefusal::Expired);
        }
        Ok((grant.clone(), if reusable { Step::Repeat } else { Step::Rotate }))
    }

    /// Carries out [`Step::Rotate`]: new claims and, with rotation on, a new secret.
    pub(crate) fn rotate(
        &mut self,
        now_ms: i64,
        policy: RefreshTokenPolicy,
        id: &str,
        identity: Identity,
    ) -> Option<Grant> {
        let mut grant = self.grants.get(id)?.clone().with_identity(identity);
        if policy.rotation {
            grant.previous_secret = Some(std::mem::replace(&mut grant.secret, wire::new_id()));
        }
        grant.last_used_ms = now_ms;
        self.grants.insert(id.to_owned(), grant.clone());
        Some(grant)
    }
}
