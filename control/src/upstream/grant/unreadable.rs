//! A login over a record, or over tokens in it, that cannot be read.

use super::login::NewLogin;
use super::record::{FORMAT, GrantKey, GrantRecord, REFRESH_TOKEN_FIELD, fingerprint};
use super::{Inner, Login, Versioned};
use crate::digest;
use crate::record::codec::{self, Unreadable};
use crate::record::sealed;
use crate::record::unreadable::Replaced;
use crate::store::{Expected, StoreError, WriteOutcome};

impl Inner {
    /// The record of `key`, or what lies there and cannot be read.
    pub(super) async fn found(
        &self,
        key: &GrantKey,
    ) -> Result<Result<Option<Versioned>, Unreadable>, StoreError> {
        let name = key.record();
        let Some(entry) = self.context.store.read(&name).await? else {
            return Ok(Ok(None));
        };
        let read = codec::decode_entry(FORMAT, &name, &entry);
        Ok(read.map(|(revision, record)| Some(Versioned { revision, record })))
    }

    /// Keeps `login` in place of what cannot be read; `None`: somebody else wrote there first.
    ///
    /// # Errors
    /// [`StoreError`]; what a newer version wrote, and a login that cannot be refreshed, change nothing.
    pub(super) async fn supersede(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        unread: Unreadable,
    ) -> Result<Option<GrantRecord>, StoreError> {
        if unread.is_newer {
            self.notices.log(Replaced::Nothing, &unread.error);
            return Err(unread.error);
        }
        let Some(refresh_token) = login.refresh_token else {
            return Err(unread.error);
        };
        let login = NewLogin {
            // What became of the refresh token so far is not known: a strict issuer is asked before it is presented.
            lineage: None,
            issuer: login.claims.issuer.clone(),
            client_id: login.client_id.to_owned(),
            id_token: self.sealed_id_token(key, login.id_token, login.claims)?,
            refresh_token: Some(self.sealed_refresh_token(key, refresh_token)?),
        };
        let record = login.supersedes_unread(unread.revision, self.context.clock.now_ms());
        let written = self.write(key, Expected::At(unread.revision), &record).await?;
        let WriteOutcome::Done(_) = written else {
            return Ok(None);
        };
        self.notices.log(Replaced::Grant, &unread.error);
        tracing::info!(
            grant = digest::short(key.digest()),
            generation = record.generation,
            "a new login is kept"
        );
        Ok(Some(record))
    }

    /// `record` with the refresh token of `login` in place of the same one that does not open; `None` where it opens, or
    /// is another: what came after the login may be opened again by who finds the key.
    pub(super) fn sealed_anew(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        record: &GrantRecord,
    ) -> Result<Option<GrantRecord>, StoreError> {
        let (Some(brought), Some(held)) = (login.refresh_token, &record.refresh_token) else {
            return Ok(None);
        };
        if held.fingerprint != fingerprint(brought) || self.lost(key, record).is_none() {
            return Ok(None);
        }
        Ok(Some(GrantRecord {
            refresh_token: Some(self.sealed_refresh_token(key, brought)?),
            id_token: match &record.id_token {
                Some(held) if self.serve(key, record).is_ok() => Some(held.clone()),
                _ => Some(self.sealed_id_token(key, login.id_token, login.claims)?),
            },
            ..record.clone()
        }))
    }

    /// Why the refresh token of `record` does not open.
    fn lost(&self, key: &GrantKey, record: &GrantRecord) -> Option<StoreError> {
        let held = record.refresh_token.as_ref()?;
        sealed::open(
            &self.context.ring,
            &key.record(),
            REFRESH_TOKEN_FIELD,
            &held.sealed,
        )
        .err()
    }

    /// Tells where `after` has another refresh token than `before`, whose own does not open.
    pub(super) fn tell_of_lost(&self, key: &GrantKey, before: &GrantRecord, after: &GrantRecord) {
        if before.refresh_token != after.refresh_token
            && let Some(error) = self.lost(key, before)
        {
            self.notices.log(Replaced::Tokens, &error);
        }
    }
}
