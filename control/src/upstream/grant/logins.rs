//! The logins of a user at an issuer with a refresh token for each login: the index of them, and the one that a token
//! without a session handle belongs to.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::attach::is_signed_out_with;
use super::login::has_ended;
use super::login_index::{LoginEntry, in_order, surplus};
use super::record::{GrantKey, GrantRecord, GrantState, ID_TOKEN_FIELD};
use super::{Grants, Inner, Login};
use crate::record::sealed;
use crate::session::sid_digest;
use crate::store::{Key, StoreError};
use crate::upstream::entitlement::Entitlement;
use crate::upstream::issuer::revocation::RevokedToken;
use crate::upstream::issuer::token_type::IdTokenProfile;

/// Records that one request reads at most to find a user's login.
const MOST_READ: usize = 16;
/// The index outlives the records in it by this margin.
const INDEX_MARGIN: Duration = Duration::from_secs(24 * 3600);

impl GrantKey {
    /// The key of the index of the logins of the user whose own grant this is.
    fn logins(&self) -> Key {
        Key::new("user_logins", self.digest())
    }
}

/// Which login of a user is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginQuery<'a> {
    /// The key of the user's own grant.
    pub(crate) user: &'a GrantKey,
    /// The login for which something was given earlier.
    pub(crate) given: Option<&'a GrantKey>,
    /// Digest of the issuer's session of the presented token.
    pub(crate) sid: Option<&'a str>,
    /// The caller's right; its count of sign-outs is that of `given`.
    pub(crate) entitlement: Entitlement,
}

/// The login of a user that a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UserLogin {
    /// This one; it may need a new login.
    Of(GrantKey),
    /// One that has ended here.
    Ended,
    /// None is known.
    Unknown,
}

impl LoginQuery<'_> {
    /// The caller's right to the login `key`.
    fn right_to(&self, key: &GrantKey) -> Entitlement {
        Entitlement {
            sign_outs: self.entitlement.sign_outs.filter(|_| self.given == Some(key)),
            ..self.entitlement
        }
    }
}

impl Grants {
    /// The login that a token without a session handle belongs to: the one that was made in the token's session at the
    /// issuer, else the newest that is alive. Reads at most [`MOST_READ`] records, whatever the number of logins is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn login_of(&self, query: LoginQuery<'_>) -> Result<UserLogin, StoreError> {
        let inner = &self.inner;
        let of_user = inner.read(query.user).await?.map(|stored| stored.record);
        let mut entries = inner.logins(query.user).await?;
        entries.extend(inner.entry_of_user(query.user, of_user.as_ref(), &entries));
        let mut order = in_order(&entries, query.sid);
        order.sort_by_key(|entry| Some(&entry.login) != query.given);
        let (mut dead, mut ended) = (None, false);
        for entry in order.into_iter().take(MOST_READ) {
            let is_meant = query.sid.is_some_and(|sid| entry.is_of_sid(sid));
            let record = match inner.login_record(query.user, of_user.as_ref(), entry).await {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                // It stands in the way of its own session only.
                Err(StoreError::Unexpected { .. }) if !is_meant => continue,
                Err(error) => return Err(error),
            };
            let entitlement = query.right_to(&entry.login);
            match record.state {
                GrantState::SignedOut { .. } if is_meant => return Ok(UserLogin::Ended),
                GrantState::SignedOut { .. } => {
                    ended |= has_ended(&record, entitlement.issued_at_seconds);
                }
                _ if entitlement.is_revoked(&record) && !is_meant => {}
                GrantState::Dead { .. } if !is_meant => dead = dead.or_else(|| Some(entry.login.clone())),
                _ => return Ok(UserLogin::Of(entry.login.clone())),
            }
        }
        Ok(match dead {
            Some(dead) => UserLogin::Of(dead),
            None if ended => UserLogin::Ended,
            None => UserLogin::Unknown,
        })
    }

    /// The key of the own grant of the user whose login `key` is; `key` itself if it is that grant, `None` if there is no
    /// such record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn user_of_login(&self, key: &GrantKey) -> Result<Option<GrantKey>, StoreError> {
        let stored = self.inner.read(key).await?;
        Ok(stored.map(|stored| match stored.record.whose() {
            Some((user, _)) => GrantKey::from_digest(user.to_owned()),
            None => key.clone(),
        }))
    }
}

impl Inner {
    /// The index of the logins of `user`, in no particular order.
    pub(super) async fn logins(&self, user: &GrantKey) -> Result<Vec<LoginEntry>, StoreError> {
        let members = self.context.store.members(&user.logins()).await?;
        Ok(members
            .iter()
            .filter_map(|member| LoginEntry::parse(member))
            .collect())
    }

    /// The user's own grant as a login that `entries` lack: of the time when the issuer counted as one with a refresh token for
    /// each user.
    pub(super) fn entry_of_user(
        &self,
        user: &GrantKey,
        record: Option<&GrantRecord>,
        entries: &[LoginEntry],
    ) -> Option<LoginEntry> {
        let record = record.filter(|record| record.id_token.is_some())?;
        if entries.iter().any(|entry| entry.login == *user) {
            return None;
        }
        let sid = self.stored_sid(user, record);
        Some(LoginEntry::new(
            user.clone(),
            record.logged_in_at_ms,
            sid.as_deref(),
        ))
    }

    /// The record of `entry` as it counts; `None` if it is gone. The index is corrected.
    async fn login_record(
        &self,
        user: &GrantKey,
        of_user: Option<&GrantRecord>,
        entry: &LoginEntry,
    ) -> Result<Option<GrantRecord>, StoreError> {
        if entry.login == *user {
            return Ok(of_user.cloned());
        }
        let store = &self.context.store;
        let Some(stored) = self.read(&entry.login).await? else {
            store.remove_member(&user.logins(), &entry.to_member()).await?;
            return Ok(None);
        };
        let mut record = stored.record;
        if is_signed_out_with(of_user, &record) {
            record = super::sign_out::ended(&record, self.context.clock.now_ms());
        }
        if matches!(record.state, GrantState::SignedOut { .. }) && !entry.has_ended {
            self.replace_entry(user, entry, true).await?;
        }
        Ok(Some(record))
    }

    /// Whether a login of `user`, whose own grant is `of_user`, is alive here after the last sign-out.
    pub(super) async fn has_live_login(
        &self,
        user: &GrantKey,
        of_user: &GrantRecord,
    ) -> Result<bool, StoreError> {
        let entries = self.logins(user).await?;
        for entry in in_order(&entries, None).into_iter().take(MOST_READ) {
            let record = self.login_record(user, Some(of_user), entry).await?;
            if record.is_some_and(|record| record.is_alive()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds the login of `key` to the index of `user`, or extends its stay there. `login` is what was just registered in it.
    pub(super) async fn index_login(
        &self,
        user: &GrantKey,
        key: &GrantKey,
        record: &GrantRecord,
        login: Option<&Login<'_>>,
    ) -> Result<(), StoreError> {
        let entries = self.logins(user).await?;
        let before: Vec<&LoginEntry> = entries.iter().filter(|entry| entry.login == *key).collect();
        let live = before.iter().find(|entry| !entry.has_ended);
        let sid = login
            .and_then(Login::sid)
            .or_else(|| self.stored_sid(key, record));
        let issued_ms = login.and_then(|login| Some(login.claims.issued_at_seconds?.saturating_mul(1000)));
        let made_at_ms = live.map(|entry| entry.made_at_ms).or(issued_ms);
        let mut entry = LoginEntry::new(
            key.clone(),
            made_at_ms.unwrap_or(record.logged_in_at_ms),
            sid.as_deref(),
        );
        // A refreshed ID token may not repeat it.
        entry.sid = (entry.sid).or_else(|| before.iter().find_map(|entry| entry.sid.clone()));
        let store = &self.context.store;
        let lifetime = self.times.record_lifetime + INDEX_MARGIN;
        let member = entry.to_member();
        store.add_member(&user.logins(), &member, lifetime).await?;
        let outdated = before.into_iter().filter(|before| **before != entry);
        for dropped in outdated.chain(surplus(&entries, &entry)) {
            store.remove_member(&user.logins(), &dropped.to_member()).await?;
        }
        Ok(())
    }

    /// Extends the stay of a login with a record of its own in the index.
    pub(super) async fn extend_in_index(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
    ) -> Result<(), StoreError> {
        match &record.extras.of_user {
            Some(of_user) => {
                let user = GrantKey::from_digest(of_user.user.clone());
                self.index_login(&user, key, record, None).await
            }
            None => Ok(()),
        }
    }

    /// Has the index show that the login of `key` has ended.
    pub(super) async fn index_end(&self, user: &GrantKey, key: &GrantKey) -> Result<(), StoreError> {
        let entries = self.logins(user).await?;
        for entry in entries.iter().filter(|entry| entry.login == *key) {
            self.replace_entry(user, entry, true).await?;
        }
        Ok(())
    }

    async fn replace_entry(
        &self,
        user: &GrantKey,
        entry: &LoginEntry,
        has_ended: bool,
    ) -> Result<(), StoreError> {
        let after = LoginEntry {
            has_ended,
            ..entry.clone()
        };
        if after == *entry {
            return Ok(());
        }
        let store = &self.context.store;
        let lifetime = self.times.record_lifetime + INDEX_MARGIN;
        store
            .add_member(&user.logins(), &after.to_member(), lifetime)
            .await?;
        store.remove_member(&user.logins(), &entry.to_member()).await
    }

    /// Digest of the issuer's session that the stored ID token of `record` names.
    pub(super) fn stored_sid(&self, key: &GrantKey, record: &GrantRecord) -> Option<String> {
        let stored = record.id_token.as_ref()?;
        let token = sealed::open(&self.context.ring, &key.record(), ID_TOKEN_FIELD, &stored.sealed).ok()?;
        let profile = IdTokenProfile::read(token.expose_secret()).ok()?;
        Some(sid_digest(&record.issuer, &profile.session_id?))
    }

    /// Revokes the refresh token of a login that has ended here, unless that can end another login of the user which is still
    /// alive. `record` is the login's record of before.
    pub(super) async fn give_back(&self, key: &GrantKey, record: &GrantRecord, token: Option<RevokedToken>) {
        let Some(token) = token else { return };
        let user = match record.whose() {
            Some((user, _)) => GrantKey::from_digest(user.to_owned()),
            None => key.clone(),
        };
        match self.ends_another(&user, key, record).await {
            Ok(false) => self.revocations.revoke(token),
            Ok(true) => self.context.metrics.revocation(&token.issuer, "kept"),
            Err(error) => tracing::debug!(%error, "store error: a refresh token is not revoked"),
        }
    }

    /// The same for a token that came while the login of `key` was ended.
    pub(super) async fn give_back_late(&self, key: &GrantKey, token: RevokedToken) {
        match self.read(key).await {
            Ok(Some(stored)) => self.give_back(key, &stored.record, Some(token)).await,
            _ => self.revocations.revoke(token),
        }
    }

    async fn ends_another(
        &self,
        user: &GrantKey,
        key: &GrantKey,
        record: &GrantRecord,
    ) -> Result<bool, StoreError> {
        let mut entries = self.logins(user).await?;
        if record.whose().is_some() {
            let of_user = self.read(user).await?.map(|stored| stored.record);
            entries.extend(self.entry_of_user(user, of_user.as_ref(), &entries));
        }
        let known = entries.iter().find(|entry| entry.login == *key).cloned();
        let own = known.unwrap_or_else(|| {
            let sid = self.stored_sid(key, record);
            LoginEntry::new(key.clone(), record.logged_in_at_ms, sid.as_deref())
        });
        for other in &entries {
            if other.login == own.login || other.has_ended || !own.ends_with_revocation(other) {
                continue;
            }
            let stored = self.read(&other.login).await?;
            if stored.is_some_and(|stored| stored.record.is_alive()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
