//! Sessions: each is one login of a user at the aggregator, and a reference to the grant that holds it: the user's, or one of
//! this login alone where each login has a refresh token of its own.
//!
//! A session's id is a bearer credential, so only its SHA-256 is stored or logged. Two sets are indexes: from a grant
//! to its sessions (ending the last one ends the grant) and from a user to all sessions (sign-out everywhere).

mod ended;
mod extend;
mod listing;
mod logout_replay;
mod put;
mod sid;

use std::sync::Arc;
use std::time::Duration;

pub use self::put::{Put, PutError};
pub use self::sid::{SidLogout, sid_digest};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokenward_protocol::filter_state::{EndedDigest, SignOut};

use crate::context::Context;
use crate::digest;
use crate::record::codec;
use crate::record::unreadable::Notices;
use crate::store::{Expected, Key, StoreError};
use crate::upstream::entitlement::Entitlement;
use crate::upstream::exchange::Exchanges;
use crate::upstream::grant::Grants;
use crate::upstream::grant::record::{GrantKey, GrantRecord};
use crate::upstream::grant::sign_out::{SignOutTime, UserOfClient};

const FORMAT: u8 = 2;
/// A set entry outlives its session by this margin, so that no session outlives its entry.
const SET_MARGIN: Duration = Duration::from_secs(24 * 3600);
/// Attempts to register a login that races with a sign-out.
const MAX_PUT_ATTEMPTS: usize = 3;

/// The store key of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey {
    digest: String,
}

impl SessionKey {
    /// The key of the session with this id.
    #[must_use]
    pub fn of_id(id: &SecretString) -> Self {
        Self {
            digest: digest::hex_of_parts(&["session", id.expose_secret()]),
        }
    }

    /// The key of the session with this [`SessionKey::digest`], which another record contains.
    #[must_use]
    pub fn from_digest(digest: String) -> Self {
        Self { digest }
    }

    /// 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn record(&self) -> Key {
        Key::new("session", &self.digest)
    }

    /// The first eight hex digits of the digest, for logs.
    #[must_use]
    pub fn short(&self) -> &str {
        digest::short(&self.digest)
    }
}

impl SessionRecord {
    fn since(&self) -> Entitlement {
        Entitlement {
            sign_outs: Some(self.sign_outs),
            issued_at_seconds: None,
            only_registered: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SessionRecord {
    format: u8,
    #[serde(with = "digest::packed")]
    grant: String,
    #[serde(with = "digest::packed")]
    user: String,
    /// How often the user had signed out everywhere at the time of the `PUT`.
    sign_outs: u64,
}

/// The sessions in a store. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    context: Context,
    grants: Grants,
    exchanges: Exchanges,
    lifetime: Duration,
    /// Whether sessions can be logins at our own authorization server.
    has_families: bool,
    notices: Notices,
}

fn user_set(user: &str) -> Key {
    Key::new("user_sessions", user)
}

fn user_digest(issuer: &str, subject: &str) -> String {
    digest::hex_of_parts(&["user", issuer, subject])
}

impl Sessions {
    /// Sessions that expire `lifetime` after their last `PUT`.
    #[must_use]
    pub fn new(context: Context, grants: Grants, exchanges: Exchanges, lifetime: Duration) -> Self {
        Self {
            notices: Notices::new(Arc::clone(&context.clock)),
            context,
            grants,
            exchanges,
            lifetime,
            has_families: false,
        }
    }

    /// Sessions that can be logins at our own authorization server: their refresh tokens end with them.
    #[must_use]
    pub fn with_families(mut self) -> Self {
        self.has_families = true;
        self
    }

    /// The grant of a session and the sign-outs that the session has seen; `None` if the session is unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant(&self, session: &SessionKey) -> Result<Option<(GrantKey, Entitlement)>, StoreError> {
        Ok(self.read(session).await?.map(|record| {
            let since = record.since();
            (GrantKey::from_digest(record.grant), since)
        }))
    }

    /// The same of a session that was read a moment ago ([`crate::store::Store::recent`]).
    pub(crate) fn recent_grant(&self, session: &SessionKey) -> Option<(GrantKey, Entitlement)> {
        let key = session.record();
        let recent = self.context.store.recent(&key)?;
        let record =
            recent.decoded(|entry| codec::decode::<SessionRecord>(FORMAT, &key, &entry.value).ok())?;
        let record = record.as_ref().as_ref()?;
        Some((GrantKey::from_digest(record.grant.clone()), record.since()))
    }

    /// The record of a session's grant, if both are known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant_record(&self, session: &SessionKey) -> Result<Option<GrantRecord>, StoreError> {
        match self.grant(session).await? {
            Some((grant, since)) => {
                let record = self.grants.record(&grant).await?;
                Ok(record.filter(|record| !since.is_revoked(record)))
            }
            None => Ok(None),
        }
    }

    /// The sessions of a user, in no particular order. Some may have expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_user(&self, issuer: &str, subject: &str) -> Result<Vec<SessionKey>, StoreError> {
        let set = user_set(&user_digest(issuer, subject));
        let digests = self.context.store.members(&set).await?;
        Ok(digests.into_iter().map(SessionKey::from_digest).collect())
    }

    /// Ends a session. The last session of a grant ends the grant and its exchanged tokens too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end(&self, session: &SessionKey) -> Result<(), StoreError> {
        if let Some(record) = self.read(session).await? {
            let seconds = self.last_second_of(&record).await?;
            let sessions = [(session.clone(), record)];
            let count = self.end_all(Vec::new(), &sessions, seconds).await?;
            self.context.metrics.session_change("ended", count);
        }
        // Also after an end that another request may have made just now.
        self.until_unused().await;
        Ok(())
    }

    /// Ends all sessions of a user, with the grants at `clients`, and every login that the user made until `moment`.
    /// Returns the number of sessions. The grants end first: from then on no earlier session gets a token, even if the
    /// rest fails. Then filters learn it, and the sessions are removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign_out(
        &self,
        issuer: &str,
        subject: &str,
        clients: &[&str],
        moment: SignOutTime,
    ) -> Result<u64, StoreError> {
        let (mut entries, mut last_second) = (Vec::new(), 0);
        for client_id in clients {
            let user = UserOfClient {
                issuer,
                client_id,
                subject,
            };
            let ended = self.grants.sign_out_everywhere(user, moment).await?;
            last_second = last_second.max(ended.last_second);
            let grant = GrantKey::new(issuer, client_id, subject);
            for grant in std::iter::once(&grant).chain(&ended.logins) {
                self.exchanges.forget(grant).await?;
            }
        }
        if !clients.is_empty() {
            entries.push(SignOut {
                ended: EndedDigest::user(issuer, subject),
                last_second: ended::last_second(last_second),
            });
        }
        let user = user_digest(issuer, subject);
        let set = user_set(&user);
        let mut sessions = Vec::new();
        for digest in self.context.store.members(&set).await? {
            let session = SessionKey { digest };
            match self.read(&session).await? {
                Some(record) if record.user == user => sessions.push((session, record)),
                // It expired meanwhile, or belongs to another user by now.
                _ => self.context.store.remove_member(&set, &session.digest).await?,
            }
        }
        let seconds = last_second.max(self.context.clock.now_ms() / 1000);
        let ended = self.end_all(entries, &sessions, seconds).await?;
        self.until_unused().await;
        self.context.metrics.session_change("signed_out", ended);
        Ok(ended)
    }

    /// Removes a session and what belongs to it alone. The grant of a last session ends first: an outage half-way then
    /// leaves a session that can be ended again, never a grant without a session.
    async fn remove(&self, session: &SessionKey, record: &SessionRecord) -> Result<(), StoreError> {
        self.detach(session, record).await?;
        self.remove_sid(session).await?;
        let store = &self.context.store;
        if self.has_families {
            store.delete(&session.family(), Expected::Any).await?;
        }
        store.delete(&session.record(), Expected::Any).await.map(drop)
    }

    /// [`Sessions::remove`] without the session's own record and `sid`.
    async fn detach(&self, session: &SessionKey, record: &SessionRecord) -> Result<(), StoreError> {
        self.leave(&GrantKey::from_digest(record.grant.clone()), session)
            .await?;
        let store = &self.context.store;
        store
            .remove_member(&user_set(&record.user), &session.digest)
            .await
    }

    /// Removes `session` from the sessions of `grant`. The last one ends the grant and its exchanged tokens.
    async fn leave(&self, grant: &GrantKey, session: &SessionKey) -> Result<(), StoreError> {
        if !self.has_others(grant, session).await? {
            self.grants.sign_out(grant).await?;
            self.exchanges.forget(grant).await?;
        }
        let store = &self.context.store;
        store.remove_member(&grant.sessions(), &session.digest).await
    }

    /// Whether `grant` has a session besides `session`. Removes stale entries of its set.
    async fn has_others(&self, grant: &GrantKey, session: &SessionKey) -> Result<bool, StoreError> {
        for digest in self.context.store.members(&grant.sessions()).await? {
            if digest == session.digest {
                continue;
            }
            let other = SessionKey { digest };
            match self.read(&other).await? {
                Some(record) if record.grant == grant.digest() => return Ok(true),
                _ => {
                    self.context
                        .store
                        .remove_member(&grant.sessions(), &other.digest)
                        .await?;
                }
            }
        }
        Ok(false)
    }

    async fn read(&self, session: &SessionKey) -> Result<Option<SessionRecord>, StoreError> {
        let key = session.record();
        let Some(entry) = self.context.store.read_and_hold(&key).await? else {
            return Ok(None);
        };
        codec::decode(FORMAT, &key, &entry.value).map(Some)
    }

    /// Waits until no process uses what it read before the end of a session: no request that
    /// begins after the answer gets a token of it.
    async fn until_unused(&self) {
        let recent = self.context.store.recent_lifetime();
        if !recent.is_zero() {
            tokio::time::sleep(recent).await;
        }
    }
}

fn to_bytes(record: &SessionRecord) -> Result<Vec<u8>, StoreError> {
    codec::encode("serialize session", record)
}
