//! A login in place of a record, or of tokens in it, that cannot be read.

use super::login::NewLogin;
use super::record::{Extras, GrantKey, GrantRecord, REFRESH_TOKEN_FIELD, fingerprint};
use super::{Inner, Login};
use crate::digest;
use crate::record::codec::Unreadable;
use crate::record::sealed;
use crate::record::unreadable::Replaced;
use crate::store::{Expected, StoreError, WriteOutcome};

impl Inner {
    /// Stores `login` in place of an unreadable record; `None` if another writer came first.
    ///
    /// # Errors
    /// [`StoreError`]. A record of a newer version, and a login without a refresh token, change nothing.
    pub(super) async fn supersede(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        of_user: Option<Option<&GrantRecord>>,
        unreadable: Unreadable,
    ) -> Result<Option<GrantRecord>, StoreError> {
        if unreadable.is_newer {
            self.notices.log(Replaced::Nothing, &unreadable.error);
            return Err(unreadable.error);
        }
        let Some(refresh_token) = login.refresh_token else {
            return Err(unreadable.error);
        };
        let new_login = NewLogin {
            // The history of the refresh token is unknown, so it is introspected at a strict issuer before it is
            // presented.
            lineage: None,
            issuer: login.claims.issuer.clone(),
            client_id: login.client_id.to_owned(),
            id_token: self.sealed_id_token(key, login.id_token, login.claims)?,
            refresh_token: Some(self.sealed_refresh_token(key, refresh_token)?),
            relayed: self.relayed_of(key, login, None)?,
            extras: self.extras_of(key, login)?,
        };
        let record = new_login.supersede_unreadable(unreadable.revision, self.context.clock.now_ms());
        let record = self.as_login_of(login, of_user, record, true);
        let written = self
            .write(key, Expected::At(unreadable.revision), &record)
            .await?;
        let WriteOutcome::Done(_) = written else {
            return Ok(None);
        };
        self.notices.log(Replaced::Grant, &unreadable.error);
        tracing::info!(
            grant = digest::short(key.digest()),
            generation = record.generation,
            "a new login was stored"
        );
        Ok(Some(record))
    }

    /// `record` with its refresh token, which does not open, sealed again from `login`. `None` if it opens, or if
    /// `login` has another token: the stored one can be opened once its key is available again.
    pub(super) fn resealed(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        record: &GrantRecord,
    ) -> Result<Option<GrantRecord>, StoreError> {
        let (Some(registered), Some(stored)) = (login.refresh_token, &record.refresh_token) else {
            return Ok(None);
        };
        if stored.fingerprint != fingerprint(registered) || self.opening_error(key, record).is_none() {
            return Ok(None);
        }
        Ok(Some(GrantRecord {
            refresh_token: Some(self.sealed_refresh_token(key, registered)?),
            // Sealed by the same key, it may not open either.
            extras: Extras {
                of_user: record.extras.of_user.clone(),
                ..self.extras_of(key, login)?
            },
            id_token: match &record.id_token {
                Some(stored) if self.serve_id_token(key, record).is_ok() => Some(stored.clone()),
                _ => Some(self.sealed_id_token(key, login.id_token, login.claims)?),
            },
            ..record.clone()
        }))
    }

    /// Why the refresh token of `record` does not open; `None` if it opens.
    fn opening_error(&self, key: &GrantKey, record: &GrantRecord) -> Option<StoreError> {
        let stored = record.refresh_token.as_ref()?;
        sealed::open(
            &self.context.ring,
            &key.record(),
            REFRESH_TOKEN_FIELD,
            &stored.sealed,
        )
        .err()
    }

    /// Logs that `after` replaced a refresh token of `before` that does not open.
    pub(super) fn log_unopenable(&self, key: &GrantKey, before: &GrantRecord, after: &GrantRecord) {
        if before.refresh_token != after.refresh_token
            && let Some(error) = self.opening_error(key, before)
        {
            self.notices.log(Replaced::Tokens, &error);
        }
    }
}
