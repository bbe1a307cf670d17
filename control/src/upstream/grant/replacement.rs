//! A login over a record, or over tokens in it, that cannot be read.

use super::login::NewLogin;
use super::record::{GrantKey, GrantRecord, REFRESH_TOKEN_FIELD, fingerprint};
use super::{Inner, Login};
use crate::digest;
use crate::record::codec::Unreadable;
use crate::record::sealed;
use crate::record::unreadable::Replaced;
use crate::store::{Expected, StoreError, WriteOutcome};

impl Inner {
    /// Keeps `login` in place of what cannot be read; `None`: somebody else wrote there first.
    ///
    /// # Errors
    /// [`StoreError`]; what a newer version wrote, and a login that cannot be refreshed, change nothing.
    pub(super) async fn supersede(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        unreadable: Unreadable,
    ) -> Result<Option<GrantRecord>, StoreError> {
        if unreadable.is_newer {
            self.notices.tell(Replaced::Left, &unreadable.why);
            return Err(unreadable.why);
        }
        let Some(refresh_token) = login.refresh_token else {
            return Err(unreadable.why);
        };
        let login = NewLogin {
            // What became of the refresh token so far is not known: a strict issuer is asked before it is presented.
            lineage: None,
            issuer: login.claims.issuer.clone(),
            client_id: login.client_id.to_owned(),
            id_token: self.sealed_id_token(key, login.id_token, login.claims)?,
            refresh_token: Some(self.sealed_refresh_token(key, refresh_token)?),
        };
        let record = login.supersede_unreadable(unreadable.revision, self.context.clock.now_ms());
        let written = self
            .write(key, Expected::At(unreadable.revision), &record)
            .await?;
        let WriteOutcome::Done(_) = written else {
            return Ok(None);
        };
        self.notices.tell(Replaced::Grant, &unreadable.why);
        tracing::info!(
            grant = digest::short(key.digest()),
            generation = record.generation,
            "a new login is stored"
        );
        Ok(Some(record))
    }

    /// `record` with the refresh token of `login` in place of the same one that does not open; `None` where it opens, or
    /// is another: what came after the login may be opened again by who finds the key.
    pub(super) fn resealed(
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
    pub(super) fn log_unopenable(&self, key: &GrantKey, before: &GrantRecord, after: &GrantRecord) {
        if before.refresh_token != after.refresh_token
            && let Some(error) = self.lost(key, before)
        {
            self.notices.tell(Replaced::Tokens, &error);
        }
    }
}
