//! The access token of a login: how it enters a grant's record, and how it leaves it.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::refusal::Refusal;

use super::kept::KeptIn;
use super::record::{
    ACCESS_TOKEN_FIELD, Extras, GrantKey, GrantRecord, RESPONSE_FIELD, StoredAccessToken, fingerprint,
};
use super::{Inner, Login, Served};
use crate::record::sealed;
use crate::refused::Refused;
use crate::store::StoreError;
use crate::upstream::issuer::access_token::{AccessTokenJwt, AccessTokenLife, GivenAccessToken};
use crate::upstream::token_kind::TokenKind;

impl Inner {
    /// The access token of `login`, where `record` has none that came with the same ID token.
    pub(super) fn new_access_token(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        record: &GrantRecord,
    ) -> Result<Option<StoredAccessToken>, StoreError> {
        let is_newest = (record.id_token.as_ref())
            .is_some_and(|stored| stored.fingerprint == fingerprint(login.id_token));
        let Some(given) = login.access_token.filter(|_| is_newest) else {
            return Ok(None);
        };
        let new = self.sealed_access_token(key, given, login.claims.exp_seconds)?;
        let is_later = (record.access_token()).is_none_or(|kept| kept.exp_seconds < new.exp_seconds);
        Ok(is_later.then_some(new))
    }

    /// What a new record has of `login` that only some logins have.
    pub(super) fn extras_of(&self, key: &GrantKey, login: &Login<'_>) -> Result<Extras, StoreError> {
        let exp_seconds = login.claims.exp_seconds;
        let access_token = login
            .access_token
            .map(|given| self.sealed_access_token(key, given, exp_seconds))
            .transpose()?;
        Ok(Extras {
            access_token,
            ..Extras::default()
        })
    }

    /// `given`, which arrived just now beside an ID token that expires at `id_token_exp_seconds`, sealed for the record of
    /// `key`.
    pub(super) fn sealed_access_token(
        &self,
        key: &GrantKey,
        given: &GivenAccessToken,
        id_token_exp_seconds: u64,
    ) -> Result<StoredAccessToken, StoreError> {
        let AccessTokenLife {
            exp_seconds,
            issued_at_seconds,
            audiences,
        } = given.life(id_token_exp_seconds, self.context.clock.now_ms());
        Ok(StoredAccessToken {
            sealed: sealed::seal(
                &self.context.ring,
                &key.record(),
                ACCESS_TOKEN_FIELD,
                &given.token,
            )?,
            fingerprint: fingerprint(&given.token),
            exp_seconds,
            issued_at_seconds: Some(issued_at_seconds),
            audiences,
        })
    }

    /// The kept access token of `record`.
    ///
    /// # Errors
    /// [`Refused`]: there is none, or it does not open.
    pub(super) fn serve_access_token(&self, key: &GrantKey, record: &GrantRecord) -> Result<Served, Refused> {
        let kept = record.access_token().ok_or(Refusal::Busy)?;
        let ring = &self.context.ring;
        let (token, exp_seconds, audiences) = match kept.place {
            KeptIn::Record(stored) => (
                sealed::open(ring, &key.record(), ACCESS_TOKEN_FIELD, &stored.sealed)?,
                kept.exp_seconds,
                stored.audiences.clone(),
            ),
            KeptIn::Response(response) => {
                let members = sealed::open(ring, &key.record(), RESPONSE_FIELD, &response.sealed)?;
                let token = access_token_of(&members).ok_or(Refusal::Busy)?;
                let jwt = AccessTokenJwt::read(token.expose_secret());
                let stated = jwt.as_ref().and_then(AccessTokenJwt::exp_seconds);
                (
                    token,
                    stated.map_or(kept.exp_seconds, |stated| stated.min(kept.exp_seconds)),
                    jwt.map_or_else(Vec::new, |jwt| jwt.audiences()),
                )
            }
        };
        Ok(Served {
            token,
            kind: TokenKind::AccessToken,
            exp_seconds,
            usable_until_seconds: exp_seconds,
            audiences,
        })
    }
}

/// `access_token` of a stored response.
fn access_token_of(members: &SecretString) -> Option<SecretString> {
    let members: serde_json::Value = serde_json::from_str(members.expose_secret()).ok()?;
    Some(members.get("access_token")?.as_str()?.into())
}
