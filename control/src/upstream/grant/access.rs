//! Reads and writes of a grant's record in the store.

use tokenward_protocol::refusal::Refusal;

use super::attach::is_signed_out_with;
use super::login::replaced_unreadable;
use super::record::{FORMAT, GrantKey, GrantRecord, GrantState, VersionedGrant};
use super::relayed::Origin;
use super::{Grants, Inner, SIGNED_OUT_LIFETIME};
use crate::record::codec::Unreadable;
use crate::refused::Refused;
use crate::store::{Entry, Expected, StoreError, WriteOutcome};

/// Decodes `entry`, which was read at `key`.
pub(super) fn decoded(key: &GrantKey, entry: &Entry) -> Result<VersionedGrant, Unreadable> {
    match GrantRecord::read(&key.record(), &entry.value) {
        Ok(record) => Ok(VersionedGrant {
            revision: entry.revision,
            record,
        }),
        Err(error) => Err(Unreadable::new(FORMAT, entry, error)),
    }
}

impl Grants {
    /// Extends the lifetime of `key`'s record, as if it had been written now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn extend(&self, key: &GrantKey) -> Result<(), StoreError> {
        let Some(stored) = self.inner.read(key).await? else {
            return Ok(());
        };
        if matches!(stored.record.state, GrantState::SignedOut { .. }) {
            return Ok(());
        }
        // A conflict is another write, which extends as well.
        let expected = Expected::At(stored.revision);
        self.inner.write(key, expected, &stored.record).await?;
        self.inner.extend_in_index(key, &stored.record).await
    }
}

impl Inner {
    /// The record of `key`, or the entry there that this version cannot read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn read_or_unreadable(
        &self,
        key: &GrantKey,
    ) -> Result<Result<Option<VersionedGrant>, Unreadable>, StoreError> {
        let entry = self.context.store.read(&key.record()).await?;
        Ok(entry.map(|entry| decoded(key, &entry)).transpose())
    }

    /// The record of `key`, a signed-out one included.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn read(&self, key: &GrantKey) -> Result<Option<VersionedGrant>, StoreError> {
        let Some(entry) = self.context.store.read_and_hold(&key.record()).await? else {
            return Ok(None);
        };
        decoded(key, &entry)
            .map(Some)
            .map_err(|unreadable| unreadable.error)
    }

    /// The record of `key`, if it exists and is not signed out.
    ///
    /// # Errors
    /// [`Refusal::UnknownSession`], [`Refusal::StoreUnavailable`].
    pub(super) async fn read_active(&self, key: &GrantKey) -> Result<VersionedGrant, Refused> {
        let stored = self
            .read(key)
            .await?
            .filter(|stored| !matches!(stored.record.state, GrantState::SignedOut { .. }))
            .ok_or(Refusal::UnknownSession)?;
        self.check_user(key, &stored.record).await?;
        Ok(stored)
    }

    /// Refuses a login with a record of its own whose user has signed out everywhere, and deletes its tokens: the sign-out was
    /// interrupted. Where the user's own grant replaced one that could not be read, the login may be registered again.
    ///
    /// # Errors
    /// [`Refusal::UnknownSession`], [`Refusal::StoreUnavailable`].
    pub(super) async fn check_user(&self, key: &GrantKey, record: &GrantRecord) -> Result<(), Refused> {
        let of_user = self.user_record(record).await?;
        if !is_signed_out_with(of_user.as_ref(), record) {
            return Ok(());
        }
        if !replaced_unreadable(of_user.as_ref()) {
            self.end_with_user(key).await?;
            self.index_end_of(key, record).await?;
        }
        Err(Refusal::UnknownSession.into())
    }

    /// Whether `record` is of one login, whose user has signed out everywhere since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn is_over_with_user(&self, record: &GrantRecord) -> Result<bool, StoreError> {
        let of_user = self.user_record(record).await?;
        Ok(is_signed_out_with(of_user.as_ref(), record))
    }

    /// The own grant of the user whose login `record` is; `None` also where `record` is no login with a record of its own.
    async fn user_record(&self, record: &GrantRecord) -> Result<Option<GrantRecord>, StoreError> {
        let Some((user, _)) = record.whose() else {
            return Ok(None);
        };
        let stored = self.read(&GrantKey::from_digest(user.to_owned())).await?;
        Ok(stored.map(|stored| stored.record))
    }

    /// Writes `record` if `expected` holds.
    ///
    /// # Errors
    /// [`StoreError`]: the write may have been done.
    pub(super) async fn write(
        &self,
        key: &GrantKey,
        expected: Expected,
        record: &GrantRecord,
    ) -> Result<WriteOutcome, StoreError> {
        // A login whose user the issuer has not stated yet, or that has moved.
        let is_passing = match record.relayed.origin {
            Origin::Presented => record.relayed.response.is_none(),
            Origin::Moved { .. } => true,
            _ => false,
        };
        let lifetime = Some(if is_passing {
            SIGNED_OUT_LIFETIME.min(self.times.record_lifetime)
        } else {
            self.times.record_lifetime
        });
        let bytes = record.to_bytes()?;
        let store = &self.context.store;
        store.write(&key.record(), expected, &bytes, lifetime).await
    }
}
