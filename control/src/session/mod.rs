//! Sessions: one login of a user at the aggregator each, a reference to the user's grant.
//!
//! A session's id is as good as a password, so only its SHA-256 is kept or logged. Two sets lead back: from a grant
//! to its sessions (the last one ends the grant) and from a user to all sessions (sign-out everywhere).

mod put;
mod sid;

use std::sync::Arc;
use std::time::Duration;

pub use self::put::{NotPut, Put};
pub use self::sid::SidLogout;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::digest;
use crate::record::codec;
use crate::record::unreadable::Notices;
use crate::store::{Expected, Key, StoreError};
use crate::upstream::exchange::Exchanges;
use crate::upstream::grant::Grants;
use crate::upstream::grant::decide::Since;
use crate::upstream::grant::record::{GrantKey, GrantRecord};
use crate::upstream::grant::sign_out::{SignOutMoment, UserOfClient};

const FORMAT: u8 = 2;
/// A set entry outlives its session by this, so that a session never outlives its entry.
const SET_MARGIN: Duration = Duration::from_secs(24 * 3600);
/// A sign-out that races with a login is looked at this often before the login is asked to come again.
const MOST_ROUNDS: usize = 3;

/// A session's name in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey {
    digest: String,
}

impl SessionKey {
    /// The session with that id.
    #[must_use]
    pub fn of_id(id: &SecretString) -> Self {
        Self {
            digest: digest::hex_of_parts(&["session", id.expose_secret()]),
        }
    }

    fn record(&self) -> Key {
        Key::new("session", &self.digest)
    }

    /// For logs.
    #[must_use]
    pub fn short(&self) -> &str {
        digest::short(&self.digest)
    }
}

impl SessionRecord {
    fn since(&self) -> Since {
        Since {
            sign_outs: Some(self.sign_outs),
            issued_at_seconds: None,
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
    /// The user's sign-outs everywhere when it was put.
    sign_outs: u64,
}

/// All sessions.
#[derive(Clone)]
pub struct Sessions {
    context: Context,
    grants: Grants,
    exchanges: Exchanges,
    lifetime: Duration,
    notices: Notices,
}

fn user_set(user: &str) -> Key {
    Key::new("user_sessions", user)
}

fn user_digest(issuer: &str, subject: &str) -> String {
    digest::hex_of_parts(&["user", issuer, subject])
}

impl Sessions {
    /// Sessions that are known for `lifetime` after their last `PUT`.
    #[must_use]
    pub fn new(context: Context, grants: Grants, exchanges: Exchanges, lifetime: Duration) -> Self {
        Self {
            notices: Notices::new(Arc::clone(&context.clock)),
            context,
            grants,
            exchanges,
            lifetime,
        }
    }

    /// The grant of a session, if the session is known, and what its right to it rests on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant(&self, session: &SessionKey) -> Result<Option<(GrantKey, Since)>, StoreError> {
        Ok(self.read(session).await?.map(|record| {
            let since = record.since();
            (GrantKey::from_digest(record.grant), since)
        }))
    }

    /// The grant's record of a session, if both are known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant_record(&self, session: &SessionKey) -> Result<Option<GrantRecord>, StoreError> {
        match self.grant(session).await? {
            Some((grant, since)) => {
                let record = self.grants.record(&grant).await?;
                Ok(record.filter(|record| !since.is_over(record)))
            }
            None => Ok(None),
        }
    }

    /// Ends a session, and with the last one the grant and its exchanged tokens.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end(&self, session: &SessionKey) -> Result<(), StoreError> {
        if let Some(record) = self.read(session).await? {
            self.forget(session, &record).await?;
            self.context.metrics.session_change("ended", 1);
        }
        Ok(())
    }

    /// Ends all sessions of a user, whose grants are among those of `clients`, and every login of the user that was made
    /// until `moment`. Answers how many sessions there were. The grants go first: from then on no session of before opens
    /// anything, whatever becomes of the rest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign_out(
        &self,
        issuer: &str,
        subject: &str,
        clients: &[&str],
        moment: SignOutMoment,
    ) -> Result<u64, StoreError> {
        for client_id in clients {
            let user = UserOfClient {
                issuer,
                client_id,
                subject,
            };
            self.grants.sign_out_everywhere(user, moment).await?;
            let grant = GrantKey::new(issuer, client_id, subject);
            self.exchanges.forget(&grant).await?;
        }
        let user = user_digest(issuer, subject);
        let set = user_set(&user);
        let mut ended = 0;
        for digest in self.context.store.members(&set).await? {
            let session = SessionKey { digest };
            match self.read(&session).await? {
                Some(record) if record.user == user => {
                    self.forget(&session, &record).await?;
                    ended += 1;
                }
                // Expired meanwhile, or another user's by now.
                _ => self.context.store.remove_member(&set, &session.digest).await?,
            }
        }
        self.context.metrics.session_change("signed_out", ended);
        Ok(ended)
    }

    /// Removes a session and whatever hangs on it alone. The grant goes first where it is the last, so that an
    /// outage half-way leaves a session that can be ended again, never a grant that cannot.
    async fn forget(&self, session: &SessionKey, record: &SessionRecord) -> Result<(), StoreError> {
        self.withdraw(session, record).await?;
        self.forget_sid(session).await?;
        let store = &self.context.store;
        store.delete(&session.record(), Expected::Any).await.map(drop)
    }

    /// The same, but for what lies under the session's own name.
    async fn withdraw(&self, session: &SessionKey, record: &SessionRecord) -> Result<(), StoreError> {
        let grant = GrantKey::from_digest(record.grant.clone());
        let store = &self.context.store;
        if !self.has_others(&grant, session).await? {
            self.grants.sign_out(&grant).await?;
            self.exchanges.forget(&grant).await?;
        }
        store.remove_member(&grant.sessions(), &session.digest).await?;
        store
            .remove_member(&user_set(&record.user), &session.digest)
            .await
    }

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
        let Some(entry) = self.context.store.read(&key).await? else {
            return Ok(None);
        };
        codec::decode(FORMAT, &key, &entry.value).map(Some)
    }

    /// Whether the logout token `id` of `issuer` was noted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_seen(&self, issuer: &str, id: &str) -> Result<bool, StoreError> {
        Ok(self.context.store.read(&logout_key(issuer, id)).await?.is_some())
    }

    /// Notes the logout token `id` of `issuer` for `lifetime`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_seen(&self, issuer: &str, id: &str, lifetime: Duration) -> Result<(), StoreError> {
        let key = logout_key(issuer, id);
        self.context
            .store
            .write(&key, Expected::Any, b"1", Some(lifetime))
            .await
            .map(drop)
    }
}

fn logout_key(issuer: &str, id: &str) -> Key {
    Key::new("logout", &digest::hex_of_parts(&[issuer, id]))
}

fn to_bytes(record: &SessionRecord) -> Result<Vec<u8>, StoreError> {
    codec::encode("serialize session", record)
}
