//! Which record holds a login. At an issuer with one refresh token for each user it is the user's own grant, for all logins of
//! the user. At one with a refresh token for each login it is a record of the login's own, which all session handles
//! of this login share: two records must never present one refresh token.

use super::admission::AdmittedLogin;
use super::known_login::{Login, LoginSource};
use super::login::{above_unreadable, replaced_unreadable};
use super::owners::HeldToken;
use super::record::{GrantKey, GrantRecord, fingerprint};
use super::relayed::Origin;
use super::sign_out::{UserOfClient, without_login};
use super::{Grants, Inner};
use crate::config::RefreshTokens;
use crate::record::unreadable::Replaced;
use crate::session::sid_digest;
use crate::store::{Expected, StoreError};

impl Login<'_> {
    /// The key of its user's own grant.
    pub(super) fn user(&self) -> GrantKey {
        GrantKey::new(&self.claims.issuer, self.client_id, &self.claims.subject)
    }

    /// The fingerprint that names it: of its refresh token, or of its ID token if it has none.
    fn name(&self) -> String {
        fingerprint(self.refresh_token.unwrap_or(self.id_token))
    }

    /// Digest of the issuer's session in which it was made.
    pub(super) fn sid(&self) -> Option<String> {
        let session_id = self.session_id?;
        Some(sid_digest(&self.claims.issuer, session_id))
    }
}

/// Whether `record` holds the login whose refresh token has the fingerprint `held`.
#[must_use]
pub fn holds_login(record: &GrantRecord, held: &str) -> bool {
    let is_here = !matches!(record.relayed.origin, Origin::Moved { .. });
    let is_registered = record.login_fingerprint.as_deref() == Some(held);
    is_here && record.refresh_token.is_some() && (is_registered || record.is_of_chain(held))
}

/// Whether a login without a refresh token, made in the issuer's session `sid`, can be the one of a record with the session
/// `stored`, which the same session handle refers to: its client refreshes by itself, and registers each new ID token.
#[must_use]
pub fn may_be_same_login(stored: Option<&str>, sid: Option<&str>) -> bool {
    match (stored, sid) {
        (Some(stored), Some(sid)) => stored == sid,
        _ => true,
    }
}

impl Grants {
    /// Registers a login in the record that holds it, or is to hold it. `present` is the grant that its session refers to
    /// now. `None` if the user has signed out everywhere since that login.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register(
        &self,
        login: &Login<'_>,
        present: Option<&GrantKey>,
    ) -> Result<Option<AdmittedLogin>, StoreError> {
        let inner = &self.inner;
        let user = login.user();
        let key = inner.place(login, &user, present).await?;
        let admitted = if key == user {
            self.admit(&key, login, None).await?
        } else {
            let of_user = inner.own_grant(&user, login).await?;
            self.admit(&key, login, Some(of_user.as_ref())).await?
        };
        let Some(admitted) = admitted else {
            return Ok(None);
        };
        if key != user || login.refresh_tokens == RefreshTokens::PerLogin {
            inner
                .index_login(&user, &key, &admitted.record, Some(login))
                .await?;
        }
        Ok(Some(admitted))
    }
}

impl Inner {
    /// The key of the record that holds `login`, or is to hold it.
    async fn place(
        &self,
        login: &Login<'_>,
        user: &GrantKey,
        present: Option<&GrantKey>,
    ) -> Result<GrantKey, StoreError> {
        let name = login.name();
        let own = GrantKey::of_login(&login.claims.issuer, login.client_id, &name);
        if let Some(present) = present.filter(|present| *present != user && **present != own)
            && self.is_held_by(present, login, &name).await?
        {
            return Ok(present.clone());
        }
        if login.refresh_tokens == RefreshTokens::PerUser {
            // A login of the time when the issuer counted as one with a refresh token for each login stays where it is.
            let stored = self.readable(&own).await?;
            let is_kept =
                stored.is_some_and(|record| record.extras.of_user.is_some() && holds_login(&record, &name));
            return Ok(if is_kept { own } else { user.clone() });
        }
        if let Some(owner) = self.owner_of_login(login, &name).await? {
            return Ok(owner);
        }
        let of_user = self.readable(user).await?;
        let is_of_user = match login.refresh_token {
            Some(_) => (of_user.as_ref()).is_some_and(|record| holds_login(record, &name)),
            None => present == Some(user) && self.is_held_by(user, login, &name).await?,
        };
        if is_of_user {
            return Ok(user.clone());
        }
        match present {
            Some(present) if self.is_newer_than(present, user, of_user.as_ref(), login).await? => {
                Ok(present.clone())
            }
            _ => Ok(own),
        }
    }

    /// Whether the session's present login, in the record of `key`, is alive and was made after `login`: an aggregator may
    /// register what it held before.
    async fn is_newer_than(
        &self,
        key: &GrantKey,
        user: &GrantKey,
        of_user: Option<&GrantRecord>,
        login: &Login<'_>,
    ) -> Result<bool, StoreError> {
        let Some(issued) = login.claims.issued_at_seconds else {
            return Ok(false);
        };
        let mut entries = self.logins(user).await?;
        entries.extend(self.entry_of_user(user, of_user, &entries));
        let Some(entry) = entries.iter().find(|entry| entry.login == *key) else {
            return Ok(false);
        };
        let is_older = issued.saturating_mul(1000) < entry.made_at_ms;
        Ok(is_older && self.readable(key).await?.is_some_and(|record| record.is_alive()))
    }

    /// Whether the record of `key`, which the login's session refers to, holds the login.
    async fn is_held_by(&self, key: &GrantKey, login: &Login<'_>, name: &str) -> Result<bool, StoreError> {
        let Some(record) = self.readable(key).await? else {
            return Ok(false);
        };
        if login.refresh_token.is_some() {
            return Ok(holds_login(&record, name));
        }
        let is_of_client = record.client_id == login.client_id && record.issuer == login.claims.issuer;
        let (stored, sid) = (self.stored_sid(key, &record), login.sid());
        Ok(is_of_client && record.id_token.is_some() && may_be_same_login(stored.as_deref(), sid.as_deref()))
    }

    /// The record that presents the login's refresh token, or is about to, where clients of its issuer refresh through the
    /// relay.
    async fn owner_of_login(&self, login: &Login<'_>, name: &str) -> Result<Option<GrantKey>, StoreError> {
        let is_relayed = !matches!(login.source, LoginSource::Registered { is_relayed: false });
        if !is_relayed || login.refresh_token.is_none() {
            return Ok(None);
        }
        let token = HeldToken {
            issuer: &login.claims.issuer,
            client_id: login.client_id,
            fingerprint: name,
        };
        let Some(owner) = self.owner(token).await? else {
            return Ok(None);
        };
        let holder = self.readable(&owner.grant).await?;
        if let Some(Origin::Moved { user }) = holder.as_ref().map(|record| &record.relayed.origin) {
            return Ok(Some(GrantKey::from_digest(user.clone())));
        }
        let holds = holder.is_some_and(|record| holds_login(&record, name));
        let is_coming = owner.is_recent(self.context.clock.now_ms());
        Ok((holds || is_coming).then_some(owner.grant))
    }

    /// The record of `key`; `None` also for one that cannot be read, in whose place a login is stored.
    async fn readable(&self, key: &GrantKey) -> Result<Option<GrantRecord>, StoreError> {
        let read = self.read_or_unreadable(key).await?;
        Ok(read.ok().flatten().map(|stored| stored.record))
    }

    /// The own grant of the login's user, which holds the user's sign-outs. One that cannot be read gives way to one without
    /// a login: it may have been a sign-out, so the logins of before are over until they are registered again.
    async fn own_grant(&self, user: &GrantKey, login: &Login<'_>) -> Result<Option<GrantRecord>, StoreError> {
        loop {
            let unreadable = match self.read_or_unreadable(user).await? {
                Ok(stored) => return Ok(stored.map(|stored| stored.record)),
                Err(unreadable) => unreadable,
            };
            if unreadable.is_newer {
                self.notices.log(Replaced::Nothing, &unreadable.error);
                return Err(unreadable.error);
            }
            let named = UserOfClient {
                issuer: &login.claims.issuer,
                client_id: login.client_id,
                subject: &login.claims.subject,
            };
            let now_ms = self.context.clock.now_ms();
            let record = above_unreadable(without_login(named, now_ms), unreadable.revision);
            let at = Expected::At(unreadable.revision);
            if self.write_marker(user, at, &record).await? {
                self.notices.log(Replaced::Grant, &unreadable.error);
                return Ok(Some(record));
            }
        }
    }

    /// The outcome of a registration after the user's sign-out. What a sign-out has left of the login in the record of `key` is
    /// deleted.
    pub(super) async fn refuse(&self, key: &GrantKey) -> Result<Option<AdmittedLogin>, StoreError> {
        if let Some(record) = self.readable(key).await?
            && self.is_over_with_user(&record).await?
        {
            self.end_with_user(key).await?;
            self.index_end_of(key, &record).await?;
        }
        Ok(None)
    }

    /// What the user's own grant means for `stored`, a login that is registered again after the user's sign-out: `true` if it
    /// may go on, because no sign-out is known.
    pub(super) fn may_go_on(of_user: Option<&GrantRecord>, stored: &GrantRecord) -> bool {
        !super::attach::is_signed_out_with(of_user, stored) || replaced_unreadable(of_user)
    }
}
