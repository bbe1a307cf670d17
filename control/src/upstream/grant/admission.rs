//! A login takes its place in the user's grant: registered by `PUT /v1/sessions`, or learned by the relay.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;

use super::known_login::{Login, LoginSource};
use super::login::{LoginAdmission, NewLogin, PresentedLogin, as_login_of, is_signed_out, judge};
use super::owners::Claim;
use super::record::{
    GrantKey, GrantRecord, GrantState, ID_TOKEN_FIELD, REFRESH_TOKEN_FIELD, RESPONSE_FIELD, StoredIdToken,
    StoredRefreshToken, fingerprint,
};
use super::relayed::{Origin, Relayed, StoredResponse};
use super::{Grants, Inner};
use crate::config::{IssuerPolicy, RefreshTokens};
use crate::digest;
use crate::record::sealed;
use crate::store::{Expected, Lineage, StoreError, WriteOutcome};
use crate::upstream::issuer::answer::response::TokenResponse;

/// The longest token response that is stored, in bytes without its ID token and refresh token.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

impl Login<'_> {
    /// `record` with what this registration, whose refresh token has the fingerprint `held`, adds to the login that it
    /// holds already: a learned login becomes a registered one, and a client that refreshes through the relay is known to
    /// hold its token. `None` if it adds nothing.
    fn registered_in(&self, held: Option<&str>, mut record: GrantRecord) -> Option<GrantRecord> {
        let LoginSource::Registered { is_relayed } = self.source else {
            return None;
        };
        let of_this_login =
            |held: &str| record.login_fingerprint.as_deref() == Some(held) || record.has_newest(held);
        let new_in_chain = held.filter(|held| {
            is_relayed && of_this_login(held) && !record.relayed.chain.iter().any(|known| known == held)
        });
        if record.relayed.origin == Origin::Registered && new_in_chain.is_none() {
            return None;
        }
        record.relayed.origin = Origin::Registered;
        if let Some(held) = new_in_chain {
            record.relayed.hand_out(held);
        }
        Some(record)
    }
}

/// A login that has its place in a grant.
#[derive(Debug, Clone)]
pub struct AdmittedLogin {
    /// The key of that grant.
    pub key: GrantKey,
    /// The grant's record afterwards.
    pub record: GrantRecord,
    /// Whether the grant did not hold the login before.
    pub is_new: bool,
}

impl Grants {
    /// Registers a login in the record of `key`, also in place of a record that cannot be read. `of_user` is the user's own
    /// grant where `key` is a record of this login alone. `None` if the user has signed out everywhere since that login; then
    /// no token of it is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn admit(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        of_user: Option<Option<&GrantRecord>>,
    ) -> Result<Option<AdmittedLogin>, StoreError> {
        let inner = &self.inner;
        let id_token_fingerprint = fingerprint(login.id_token);
        let refresh_fingerprint = login.refresh_token.map(fingerprint);
        let presented = PresentedLogin {
            claims: login.claims,
            id_token_fingerprint: &id_token_fingerprint,
            refresh_fingerprint: refresh_fingerprint.as_deref(),
        };
        if of_user
            .flatten()
            .is_some_and(|user| is_signed_out(user, presented))
        {
            return inner.refuse(key).await;
        }
        // Another record may present the refresh token, after a client's refresh: that record is attached to this grant
        // once the issuer has answered, and the token is not stored twice.
        let mut claim = inner.claim_token(key, login).await?;
        let is_own = claim != Claim::OfAnother;
        let registered = login;
        let login = &Login {
            refresh_token: login.refresh_token.filter(|_| is_own),
            ..*login
        };
        let own = PresentedLogin {
            refresh_fingerprint: presented.refresh_fingerprint.filter(|_| is_own),
            ..presented
        };
        // Before the write: a login written on a later lineage then counts as unproven there.
        let lineage = inner.context.store.lineage(&key.record()).await?;
        loop {
            let stored = match inner.read_or_unreadable(key).await? {
                Ok(stored) => stored,
                Err(unreadable) => match inner.supersede(key, login, of_user, unreadable).await? {
                    Some(record) => return Ok(Some(AdmittedLogin::new(key, record, true))),
                    None => continue,
                },
            };
            let before = stored.as_ref().map(|stored| &stored.record);
            if before.is_some_and(|record| is_over(record, of_user, presented)) {
                return inner.refuse(key).await;
            }
            let admission = judge(before, own);
            let record = match (admission, before) {
                (LoginAdmission::NewLogin, _) | (_, None) => GrantRecord {
                    login_fingerprint: refresh_fingerprint.clone(),
                    ..inner.new_generation(key, login, before, lineage.clone())?
                },
                (admission, Some(before)) => inner
                    .with_login(key, login, admission, own, before)?
                    .unwrap_or_else(|| before.clone()),
            };
            let is_new = admission == LoginAdmission::NewLogin;
            let record = inner.as_login_of(login, of_user, record, is_new);
            if before == Some(&record) {
                return Ok(Some(AdmittedLogin::new(key, record, false)));
            }
            if claim.is_over(inner.context.clock.now_ms()) {
                claim = inner.claim_token(key, registered).await?;
                if claim == Claim::OfAnother {
                    return Box::pin(self.admit(key, registered, of_user)).await;
                }
                continue;
            }
            let expected = (stored.as_ref()).map_or(Expected::Absent, |stored| Expected::At(stored.revision));
            if let WriteOutcome::Done(_) = inner.write(key, expected, &record).await? {
                inner.log_admitted(key, admission, before, &record);
                return Ok(Some(AdmittedLogin::new(key, record, is_new)));
            }
        }
    }
}

impl AdmittedLogin {
    fn new(key: &GrantKey, record: GrantRecord, is_new: bool) -> Self {
        Self {
            key: key.clone(),
            record,
            is_new,
        }
    }
}

/// Whether `presented` must not revive `record`: the user has signed out since. `of_user` is the user's own grant where
/// `record` is of this login alone.
fn is_over(
    record: &GrantRecord,
    of_user: Option<Option<&GrantRecord>>,
    presented: PresentedLogin<'_>,
) -> bool {
    let has_ended = matches!(record.state, GrantState::SignedOut { .. });
    is_signed_out(record, presented)
        || of_user.is_some_and(|user| !has_ended && !Inner::may_go_on(user, record))
}

impl Grants {
    /// Stores a learned login: as the user's grant, or beside it at an issuer with one refresh token for each login. Returns
    /// the key of its record; `None` if the user signed out after this login, or if a record holds it already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn learn(
        &self,
        policy: IssuerPolicy,
        login: &Login<'_>,
    ) -> Result<Option<GrantKey>, StoreError> {
        let claims = login.claims;
        let Some(refresh_fingerprint) = login.refresh_token.map(fingerprint) else {
            return Ok(None);
        };
        if login.refresh_tokens == RefreshTokens::PerLogin {
            let admitted = self.register(login, None).await?;
            let admitted = admitted.filter(|admitted| admitted.record.is_of_chain(&refresh_fingerprint));
            return Ok(admitted.map(|admitted| {
                if admitted.is_new {
                    self.inner.record_learned(&admitted.key, login);
                }
                admitted.key
            }));
        }
        let user = GrantKey::new(&claims.issuer, login.client_id, &claims.subject);
        if policy == IssuerPolicy::Strict
            && let Some(of_user) = self.record(&user).await?
            && of_user.is_alive()
            && !of_user.is_of_chain(&refresh_fingerprint)
        {
            let own = GrantKey::of_login(&claims.issuer, login.client_id, &refresh_fingerprint);
            return self.learn_apart(&own, &user, &of_user, login).await;
        }
        let admitted = self.admit(&user, login, None).await?;
        let admitted = admitted.filter(|admitted| admitted.record.is_of_chain(&refresh_fingerprint));
        if admitted.as_ref().is_some_and(|admitted| admitted.is_new) {
            self.inner.record_learned(&user, login);
        }
        Ok(admitted.map(|_| user))
    }

    async fn learn_apart(
        &self,
        own: &GrantKey,
        user: &GrantKey,
        of_user: &GrantRecord,
        login: &Login<'_>,
    ) -> Result<Option<GrantKey>, StoreError> {
        let inner = &self.inner;
        if inner.claim_token(own, login).await? == Claim::OfAnother {
            return Ok(None);
        }
        let lineage = inner.context.store.lineage(&own.record()).await?;
        let mut record = inner.new_generation(own, login, None, lineage)?;
        record.relayed.origin = Origin::Apart {
            user: user.digest().to_owned(),
            sign_outs: of_user.sign_outs,
        };
        let written = inner.write(own, Expected::Absent, &record).await?;
        if !matches!(written, WriteOutcome::Done(_)) {
            return Ok(None);
        }
        inner.record_learned(own, login);
        Ok(Some(own.clone()))
    }
}

impl Inner {
    /// `record` as one of this login alone, where `of_user` is the own grant of its user.
    pub(super) fn as_login_of(
        &self,
        login: &Login<'_>,
        of_user: Option<Option<&GrantRecord>>,
        record: GrantRecord,
        is_new: bool,
    ) -> GrantRecord {
        match of_user {
            Some(user) => as_login_of(record, &login.user(), user, is_new, self.context.clock.now_ms()),
            None => record,
        }
    }

    /// `before` with what `login`, which it holds already, adds; `None` if that is nothing.
    fn with_login(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        admission: LoginAdmission,
        presented: PresentedLogin<'_>,
        before: &GrantRecord,
    ) -> Result<Option<GrantRecord>, StoreError> {
        let mut changed = self.resealed(key, login, before)?;
        if admission == LoginAdmission::NewerIdToken {
            changed = Some(GrantRecord {
                id_token: Some(self.sealed_id_token(key, login.id_token, login.claims)?),
                ..changed.unwrap_or_else(|| before.clone())
            });
        }
        let mut current = changed.clone().unwrap_or_else(|| before.clone());
        if let Some(access_token) = self.new_access_token(key, login, &current)? {
            current.extras.access_token = Some(access_token);
            changed = Some(current.clone());
        }
        let held = presented.refresh_fingerprint;
        Ok(login.registered_in(held, current).or(changed))
    }

    fn log_admitted(
        &self,
        key: &GrantKey,
        admission: LoginAdmission,
        before: Option<&GrantRecord>,
        record: &GrantRecord,
    ) {
        if let Some(before) = before {
            self.log_unopenable(key, before, record);
        }
        if admission == LoginAdmission::NewLogin {
            tracing::info!(
                grant = digest::short(key.digest()),
                generation = record.generation,
                "a new login was stored"
            );
        }
    }

    pub(super) fn sealed_id_token(
        &self,
        key: &GrantKey,
        token: &SecretString,
        claims: &Claims,
    ) -> Result<StoredIdToken, StoreError> {
        Ok(StoredIdToken {
            sealed: sealed::seal(&self.context.ring, &key.record(), ID_TOKEN_FIELD, token)?,
            fingerprint: fingerprint(token),
            exp_seconds: claims.exp_seconds,
            issued_at_seconds: claims.issued_at_seconds,
            audiences: claims.audiences.clone(),
        })
    }

    pub(super) fn sealed_refresh_token(
        &self,
        key: &GrantKey,
        token: &SecretString,
    ) -> Result<StoredRefreshToken, StoreError> {
        debug_assert!(!token.expose_secret().is_empty());
        Ok(StoredRefreshToken {
            sealed: sealed::seal(&self.context.ring, &key.record(), REFRESH_TOKEN_FIELD, token)?,
            fingerprint: fingerprint(token),
        })
    }

    fn new_generation(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        stored: Option<&GrantRecord>,
        lineage: Option<Lineage>,
    ) -> Result<GrantRecord, StoreError> {
        let new_login = NewLogin {
            lineage,
            issuer: login.claims.issuer.clone(),
            client_id: login.client_id.to_owned(),
            id_token: self.sealed_id_token(key, login.id_token, login.claims)?,
            refresh_token: login
                .refresh_token
                .map(|token| self.sealed_refresh_token(key, token))
                .transpose()?,
            relayed: self.relayed_of(key, login, stored)?,
            extras: self.extras_of(key, login)?,
        };
        Ok(new_login.supersede(stored, self.context.clock.now_ms()))
    }

    /// What the relay needs of a new login, which takes the place of `stored`.
    pub(super) fn relayed_of(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        stored: Option<&GrantRecord>,
    ) -> Result<Relayed, StoreError> {
        let chain = || login.refresh_token.map(fingerprint).into_iter().collect();
        Ok(match login.source {
            LoginSource::Registered { is_relayed: false } => Relayed::default(),
            LoginSource::Registered { is_relayed: true } => Relayed {
                chain: chain(),
                ..Relayed::default()
            },
            LoginSource::Learned(response) => Relayed {
                origin: origin_after(stored),
                chain: chain(),
                response: self.stored_response(key, response, Some(login.id_token))?,
                words: None,
            },
        })
    }

    /// `response`, which arrived just now with `id_token`, sealed for the record of `key`; `None` if it is too long.
    pub(super) fn stored_response(
        &self,
        key: &GrantKey,
        response: &TokenResponse,
        id_token: Option<&SecretString>,
    ) -> Result<Option<StoredResponse>, StoreError> {
        if response.others.expose_secret().len() > MAX_RESPONSE_BYTES {
            return Ok(None);
        }
        let (ring, now_ms) = (&self.context.ring, self.context.clock.now_ms());
        let life_ms = |seconds: u64| seconds.saturating_mul(1000);
        Ok(Some(StoredResponse {
            sealed: sealed::seal(ring, &key.record(), RESPONSE_FIELD, &response.others)?,
            made_at_ms: now_ms,
            access_expires_at_ms: response
                .expires_in_seconds
                .map(|seconds| now_ms.saturating_add(life_ms(seconds))),
            id_token_fingerprint: id_token.map(fingerprint),
        }))
    }
}

/// The origin of a learned login in place of `stored`: the sign-outs of a user who is registered reach control.
pub(super) fn origin_after(stored: Option<&GrantRecord>) -> Origin {
    let is_registered = stored.is_some_and(|record| {
        record.relayed.origin == Origin::Registered && !matches!(record.state, GrantState::SignedOut { .. })
    });
    if is_registered {
        Origin::Registered
    } else {
        Origin::Learned
    }
}
