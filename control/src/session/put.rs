//! Putting a session: a login comes in, under an id that no other user's login has.

use super::{
    FORMAT, MOST_ROUNDS, SET_MARGIN, SessionKey, SessionRecord, Sessions, to_bytes, user_digest, user_set,
};
use crate::record::codec::{self, Unreadable};
use crate::record::unreadable::Replaced;
use crate::store::{Expected, StoreError, WriteOutcome};
use crate::upstream::grant::Login;
use crate::upstream::grant::record::GrantKey;

/// What [`Sessions::put`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// Whether the session was not known before.
    pub created: bool,
    /// The grant's generation.
    pub generation: u64,
}

/// Why a login is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum NotPut {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user, or the issuer for the user, has signed out since the login was made.
    #[error("the user signed out after this login was made")]
    SignedOut,
    /// The session's id is in use for a login of another user.
    #[error("the session belongs to another user's login")]
    Taken,
}

/// What lies at a session's key.
struct There {
    record: Option<SessionRecord>,
    unread: Option<Unreadable>,
    /// What a write in its place must find.
    expected: Expected,
}

impl Sessions {
    /// Takes a login in under a session, also in place of a record that cannot be read. Putting the same again changes
    /// nothing.
    ///
    /// # Errors
    /// [`NotPut`].
    pub async fn put(&self, session: &SessionKey, login: &Login<'_>) -> Result<Put, NotPut> {
        let claims = login.claims;
        let grant = GrantKey::new(&claims.issuer, login.client_id, &claims.subject);
        let mut record = SessionRecord {
            format: FORMAT,
            grant: grant.digest().to_owned(),
            user: user_digest(&claims.issuer, &claims.subject),
            sign_outs: 0,
        };
        let mut there = self.found(session).await?;
        let created = there.expected == Expected::Absent;
        self.not_ended_by_sid(login).await?;
        self.not_taken(&there, &record).await?;
        if let Some(before) = there.record.take_if(|before| before.grant != record.grant) {
            self.forget(session, &before).await?;
            there.expected = Expected::Absent;
        }
        let mut generation = 0;
        for _ in 0..MOST_ROUNDS {
            let admitted = self.grants.admit(&grant, login).await?;
            let admitted = admitted.ok_or(NotPut::SignedOut)?;
            (generation, record.sign_outs) = (admitted.generation, admitted.sign_outs);
            let set_lifetime = self.lifetime + SET_MARGIN;
            let store = &self.context.store;
            store
                .add_member(&grant.sessions(), &session.digest, set_lifetime)
                .await?;
            store
                .add_member(&user_set(&record.user), &session.digest, set_lifetime)
                .await?;
            if let Err(not_put) = self.keep(session, &record, &mut there).await {
                if matches!(not_put, NotPut::Taken) {
                    self.withdraw(session, &record).await?;
                }
                return Err(not_put);
            }
            self.note_sid(session, login, created).await?;
            // The grant's last other session may have ended between its admission and our entry in its set.
            if self.grants.is_known(&grant, record.since()).await? {
                break;
            }
        }
        // A logout of the issuer's session that came meanwhile may have looked before this one was there.
        if let Err(ended) = self.not_ended_by_sid(login).await {
            self.forget(session, &record).await?;
            return Err(ended);
        }
        self.context
            .metrics
            .session_change(if created { "created" } else { "renewed" }, 1);
        Ok(Put { created, generation })
    }

    /// Whether the session still opens its grant.
    async fn is_open(&self, record: &SessionRecord) -> Result<bool, StoreError> {
        let grant = GrantKey::from_digest(record.grant.clone());
        self.grants.is_known(&grant, record.since()).await
    }

    /// Writes `record` in place of what was looked at, and looks again where somebody else wrote there first.
    async fn keep(
        &self,
        session: &SessionKey,
        record: &SessionRecord,
        there: &mut There,
    ) -> Result<(), NotPut> {
        let bytes = to_bytes(record)?;
        loop {
            let store = &self.context.store;
            let lifetime = Some(self.lifetime);
            let written = store
                .write(&session.record(), there.expected, &bytes, lifetime)
                .await?;
            if let WriteOutcome::Done(revision) = written {
                if let Some(unread) = there.unread.take() {
                    self.notices.log(Replaced::Session, &unread.error);
                }
                there.expected = Expected::At(revision);
                return Ok(());
            }
            *there = self.found(session).await?;
            self.not_taken(there, record).await?;
        }
    }

    /// [`NotPut::Taken`] where the session is in use for another user's login.
    async fn not_taken(&self, there: &There, record: &SessionRecord) -> Result<(), NotPut> {
        match &there.record {
            Some(before) if before.user != record.user && self.is_open(before).await? => Err(NotPut::Taken),
            _ => Ok(()),
        }
    }

    /// The record of a session, or what lies there and cannot be read.
    ///
    /// # Errors
    /// [`StoreError`], also for what a newer version wrote.
    async fn found(&self, session: &SessionKey) -> Result<There, StoreError> {
        let key = session.record();
        let Some(entry) = self.context.store.read(&key).await? else {
            return Ok(There {
                record: None,
                unread: None,
                expected: Expected::Absent,
            });
        };
        let (record, unread) = match codec::decode_entry(FORMAT, &key, &entry) {
            Ok((_, record)) => (Some(record), None),
            Err(unread) if unread.is_newer => {
                self.notices.log(Replaced::Nothing, &unread.error);
                return Err(unread.error);
            }
            Err(unread) => (None, Some(unread)),
        };
        Ok(There {
            record,
            unread,
            expected: Expected::At(entry.revision),
        })
    }
}
