//! Registers a login under a session id. An id that is in use for another user's login is a conflict.

use super::{
    FORMAT, MAX_PUT_ATTEMPTS, SET_MARGIN, SessionKey, SessionRecord, Sessions, to_bytes, user_digest,
    user_set,
};
use crate::record::codec::{self, Unreadable};
use crate::record::unreadable::Replaced;
use crate::store::{Expected, StoreError, WriteOutcome};
use crate::upstream::grant::Login;
use crate::upstream::grant::record::GrantKey;

/// The outcome of [`Sessions::put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The grant that holds the login.
    pub grant: GrantKey,
    /// Whether the session was unknown before.
    pub created: bool,
    /// The grant's generation.
    pub generation: u64,
    /// Whether the login was not known before, under this session or another.
    pub is_new_login: bool,
}

/// Why a login is not registered.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user, or the issuer for the user, has signed out since the login was made.
    #[error("the user signed out after this login was made")]
    SignedOut,
    /// The session's id is in use for another user's login.
    #[error("the session belongs to another user's login")]
    Conflict,
}

/// The state of a session's key in the store.
struct Stored {
    record: Option<SessionRecord>,
    /// Set instead of `record` where the bytes cannot be decoded.
    unreadable: Option<Unreadable>,
    /// The precondition of a write in its place.
    expected: Expected,
}

impl Sessions {
    /// Registers a login under a session, also in place of an unreadable record. Idempotent: the same `PUT` again
    /// changes nothing. The session's login of before, where it has a grant of its own, ends unless another session has it.
    ///
    /// # Errors
    /// [`PutError`].
    pub async fn put(&self, session: &SessionKey, login: &Login<'_>) -> Result<Put, PutError> {
        let claims = login.claims;
        let mut record = SessionRecord {
            format: FORMAT,
            grant: String::new(),
            user: user_digest(&claims.issuer, &claims.subject),
            sign_outs: 0,
        };
        let mut stored = self.load(session).await?;
        let created = stored.expected == Expected::Absent;
        self.check_sid(login).await?;
        self.check_owner(&stored, &record).await?;
        if let Some(of_another) = stored.record.take_if(|before| before.user != record.user) {
            self.remove(session, &of_another).await?;
            stored.expected = Expected::Absent;
        }
        let before = (stored.record.as_ref()).map(|before| GrantKey::from_digest(before.grant.clone()));
        let (mut registered, mut is_new_login, mut replaced) = (None, false, Vec::new());
        for _ in 0..MAX_PUT_ATTEMPTS {
            let admitted = self.grants.register(login, before.as_ref()).await?;
            let admitted = admitted.ok_or(PutError::SignedOut)?;
            let grant = admitted.key.clone();
            (record.grant, record.sign_outs) = (grant.digest().to_owned(), admitted.record.sign_outs);
            is_new_login |= admitted.is_new;
            registered = Some(admitted);
            let set_lifetime = self.lifetime + SET_MARGIN;
            let store = &self.context.store;
            store
                .add_member(&grant.sessions(), &session.digest, set_lifetime)
                .await?;
            store
                .add_member(&user_set(&record.user), &session.digest, set_lifetime)
                .await?;
            if let Err(error) = self.write(session, &record, &mut stored).await {
                if matches!(error, PutError::Conflict) {
                    self.detach(session, &record).await?;
                }
                return Err(error);
            }
            replaced.extend(
                stored
                    .record
                    .take()
                    .map(|record| GrantKey::from_digest(record.grant)),
            );
            self.record_sid(session, login, created).await?;
            // The grant's last other session may have ended after the admission and before this session entered the
            // set.
            if self.grants.is_known(&grant, record.since()).await? {
                break;
            }
        }
        let Some(registered) = registered else {
            return Err(PutError::SignedOut);
        };
        for before in replaced.iter().filter(|before| **before != registered.key) {
            self.leave(before, session).await?;
        }
        // A concurrent logout of the issuer's session may have read the sessions before this one was stored.
        if let Err(ended) = self.check_sid(login).await {
            let seconds = self.last_second_of(&record).await?;
            self.end_all(Vec::new(), &[(session.clone(), record)], seconds)
                .await?;
            return Err(ended);
        }
        self.context
            .metrics
            .session_change(if created { "created" } else { "renewed" }, 1);
        Ok(Put {
            grant: registered.key,
            created,
            generation: registered.record.generation,
            is_new_login,
        })
    }

    /// Whether the session still gives access to its grant.
    async fn is_valid(&self, record: &SessionRecord) -> Result<bool, StoreError> {
        let grant = GrantKey::from_digest(record.grant.clone());
        self.grants.is_known(&grant, record.since()).await
    }

    /// Writes `record` in place of `stored`, and retries from the new state after a conflicting write.
    async fn write(
        &self,
        session: &SessionKey,
        record: &SessionRecord,
        stored: &mut Stored,
    ) -> Result<(), PutError> {
        let bytes = to_bytes(record)?;
        loop {
            self.lift_end(session).await?;
            let store = &self.context.store;
            let lifetime = Some(self.lifetime);
            let written = store
                .write(&session.record(), stored.expected, &bytes, lifetime)
                .await?;
            if let WriteOutcome::Done(revision) = written {
                if let Some(unreadable) = stored.unreadable.take() {
                    self.notices.log(Replaced::Session, &unreadable.error);
                }
                stored.expected = Expected::At(revision);
                return Ok(());
            }
            *stored = self.load(session).await?;
            self.check_owner(stored, record).await?;
        }
    }

    /// Fails with [`PutError::Conflict`] if the session is in use for another user's login.
    async fn check_owner(&self, stored: &Stored, record: &SessionRecord) -> Result<(), PutError> {
        match &stored.record {
            Some(before) if before.user != record.user && self.is_valid(before).await? => {
                Err(PutError::Conflict)
            }
            _ => Ok(()),
        }
    }

    /// Reads a session's key.
    ///
    /// # Errors
    /// [`StoreError`], also for a record that a newer version wrote.
    async fn load(&self, session: &SessionKey) -> Result<Stored, StoreError> {
        let key = session.record();
        let Some(entry) = self.context.store.read(&key).await? else {
            return Ok(Stored {
                record: None,
                unreadable: None,
                expected: Expected::Absent,
            });
        };
        let (record, unreadable) = match codec::decode_entry(FORMAT, &key, &entry) {
            Ok((_, record)) => (Some(record), None),
            Err(unreadable) if unreadable.is_newer => {
                self.notices.log(Replaced::Nothing, &unreadable.error);
                return Err(unreadable.error);
            }
            Err(unreadable) => (None, Some(unreadable)),
        };
        Ok(Stored {
            record,
            unreadable,
            expected: Expected::At(entry.revision),
        })
    }
}
