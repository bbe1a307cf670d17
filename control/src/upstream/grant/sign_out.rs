//! Sign-out: the end of a login that the user requests.

use std::time::Duration;

use super::login::{add_retired, retired, valid_from_seconds};
use super::record::{Extras, FORMAT, GrantKey, GrantRecord, GrantState, REFRESH_TOKEN_FIELD};
use super::relayed::Relayed;
use super::{Grants, Inner, SIGNED_OUT_LIFETIME};
use crate::record::sealed;
use crate::store::{Expected, StoreError, WriteOutcome};
use crate::upstream::issuer::revocation::RevokedToken;

/// Longest life of an ID token that the record of a sign-out outlives, in addition to the grace for expired subject
/// tokens.
const ID_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// When a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignOutTime {
    /// Now, by control's clock. That clock may be behind the issuer's, so tokens known to be issued by then are over
    /// too.
    Now,
    /// At this second (Unix time) by the issuer's clock.
    AtIssuer(u64),
}

impl SignOutTime {
    /// The last second (Unix time) whose logins have ended; `newest_seconds` is the issue time of the newest known
    /// token. A time of the issuer in the future is ignored: its clock is ahead, and a user who logs in again must not
    /// wait for it.
    #[must_use]
    pub fn last_second(self, newest_seconds: Option<u64>, now_ms: u64) -> u64 {
        let now_seconds = now_ms / 1000;
        match self {
            Self::AtIssuer(seconds) if seconds <= now_seconds => seconds,
            Self::AtIssuer(_) | Self::Now => now_seconds.max(newest_seconds.unwrap_or(0)),
        }
    }
}

/// The grant that a user has, or could have, with one client.
#[derive(Debug, Clone, Copy)]
pub struct UserOfClient<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// The client that logs the user in.
    pub client_id: &'a str,
    /// `sub`.
    pub subject: &'a str,
}

impl Grants {
    /// Deletes the tokens of `key`; the result of a refresh in progress is dropped. The refresh token is revoked at the issuer
    /// unless that would end another login of the user.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign_out(&self, key: &GrantKey) -> Result<(), StoreError> {
        let inner = &self.inner;
        inner.rotations.forget(key);
        while let Some(stored) = inner.read(key).await? {
            let before = stored.record;
            if matches!(before.state, GrantState::SignedOut { .. }) {
                return Ok(());
            }
            let record = signed_out(&before, retired(&before, false), inner.context.clock.now_ms());
            let at = Expected::At(stored.revision);
            if inner.write_marker(key, at, &record).await? {
                let revocable = inner.revocable(key, &before);
                inner.give_back(key, &before, revocable).await;
                return inner.index_end_of(key, &before).await;
            }
        }
        Ok(())
    }

    /// Ends by one write to the user's own grant every session of the user
    /// ([`Entitlement::is_revoked`](crate::upstream::entitlement::Entitlement::is_revoked)) and every login made by
    /// then, including logins with a record of their own ([`super::attach::is_signed_out_with`]) and logins that were never
    /// registered here ([`super::login::is_signed_out`]). Then the tokens of the user's logins are deleted.
    ///
    /// # Errors
    /// [`StoreError`]: what is left of the tokens opens nothing.
    pub async fn sign_out_everywhere(
        &self,
        user: UserOfClient<'_>,
        moment: SignOutTime,
    ) -> Result<SignedOutUser, StoreError> {
        let inner = &self.inner;
        let key = GrantKey::new(user.issuer, user.client_id, user.subject);
        inner.rotations.forget(&key);
        loop {
            // The write below ends them also where they cannot be listed.
            let listed = inner.records_of_logins(&key).await;
            let logins = listed.as_deref().unwrap_or_default();
            let now_ms = inner.context.clock.now_ms();
            let (expected, before) = match inner.read(&key).await? {
                Some(stored) => (Expected::At(stored.revision), stored.record),
                None => (Expected::Absent, without_login(user, now_ms)),
            };
            let revocable = inner.revocable(&key, &before);
            let records = std::iter::once(&before).chain(logins.iter().map(|(_, record)| record));
            let newest = records.filter_map(|record| record.id_token.as_ref()?.issued_at_seconds);
            let from = moment.last_second(newest.max(), now_ms).saturating_add(1);
            let from = from.max(valid_from_seconds(&before).unwrap_or(0));
            let record = GrantRecord {
                sign_outs: next_count(&before, expected, now_ms),
                valid_from_seconds: Some(from),
                ..signed_out(&before, retired_of_all(&before, logins), now_ms)
            };
            if inner.write_marker(&key, expected, &record).await? {
                inner.revoke(revocable);
                let logins = listed?;
                for (login, _) in &logins {
                    inner.end_with_user(login).await?;
                    inner.index_end(&key, login).await?;
                }
                return Ok(SignedOutUser {
                    last_second: from.saturating_sub(1),
                    logins: logins.into_iter().map(|(login, _)| login).collect(),
                });
            }
        }
    }
}

/// A user who signed out everywhere, at one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOutUser {
    /// The last second (Unix time) whose logins ended.
    pub last_second: u64,
    /// The ended logins with a record of their own.
    pub logins: Vec<GrantKey>,
}

/// The count of sign-outs after this one. Where the record has expired, it begins above every count that a login may still
/// remember: there were fewer sign-outs than seconds.
fn next_count(before: &GrantRecord, expected: Expected, now_ms: u64) -> u64 {
    match expected {
        Expected::Absent => (now_ms / 1000).max(1),
        _ => before.sign_outs + 1,
    }
}

/// The fingerprints that end with the user: those of `own`, the user's own grant, and of the newest logins.
fn retired_of_all(own: &GrantRecord, logins: &[(GrantKey, GrantRecord)]) -> Vec<String> {
    let mut oldest_first: Vec<&GrantRecord> = logins.iter().map(|(_, record)| record).collect();
    oldest_first.sort_by_key(|record| record.logged_in_at_ms);
    let mut all = retired(own, true);
    for record in oldest_first {
        add_retired(&mut all, retired(record, true).iter());
    }
    all
}

/// The record of a login that a sign-out ended, without its tokens.
pub(super) fn ended(record: &GrantRecord, now_ms: u64) -> GrantRecord {
    signed_out(record, retired(record, false), now_ms)
}

/// The same of a login with a record of its own, whose user signed out everywhere: it is refused when it is registered
/// again.
fn ended_with_user(record: &GrantRecord, now_ms: u64) -> GrantRecord {
    GrantRecord {
        sign_outs: record.sign_outs + 1,
        ..signed_out(record, retired(record, true), now_ms)
    }
}

fn signed_out(record: &GrantRecord, retired: Vec<String>, now_ms: u64) -> GrantRecord {
    GrantRecord {
        state: GrantState::SignedOut { since_ms: now_ms },
        id_token: None,
        refresh_token: None,
        login_fingerprint: None,
        intent: None,
        failures: None,
        retired,
        // A client that presents a token of this login must find that it has ended.
        relayed: Relayed {
            response: None,
            ..record.relayed.clone()
        },
        extras: Extras {
            access_token: None,
            ..record.extras.clone()
        },
        ..record.clone()
    }
}

/// The record of a user without a login here: the sign-out must still apply when an older login is registered.
pub(super) fn without_login(user: UserOfClient<'_>, now_ms: u64) -> GrantRecord {
    GrantRecord {
        format: FORMAT,
        issuer: user.issuer.to_owned(),
        client_id: user.client_id.to_owned(),
        generation: 0,
        state: GrantState::SignedOut { since_ms: now_ms },
        id_token: None,
        refresh_token: None,
        login_fingerprint: None,
        intent: None,
        failures: None,
        sign_outs: 0,
        valid_from_seconds: None,
        lineage: None,
        retired: Vec::new(),
        logged_in_at_ms: now_ms,
        refreshed_at_ms: None,
        last_used_at_ms: now_ms,
        relayed: Relayed::default(),
        extras: Extras::default(),
    }
}

impl Inner {
    /// The logins of `user` that have a record of their own and have not ended.
    async fn records_of_logins(&self, user: &GrantKey) -> Result<Vec<(GrantKey, GrantRecord)>, StoreError> {
        let mut records = Vec::new();
        for entry in self.logins(user).await? {
            if entry.has_ended || entry.login == *user {
                continue;
            }
            match self.read(&entry.login).await {
                Ok(Some(stored)) => records.push((entry.login, stored.record)),
                // It ends by the user's count.
                Ok(None) | Err(StoreError::Unexpected { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// Deletes the tokens of the login `key`, whose user has signed out everywhere, and revokes its refresh token.
    pub(super) async fn end_with_user(&self, key: &GrantKey) -> Result<(), StoreError> {
        self.rotations.forget(key);
        while let Some(stored) = self.read(key).await? {
            let before = stored.record;
            if matches!(before.state, GrantState::SignedOut { .. }) && before.sign_outs > 0 {
                return Ok(());
            }
            let record = ended_with_user(&before, self.context.clock.now_ms());
            let at = Expected::At(stored.revision);
            if self.write_marker(key, at, &record).await? {
                self.revoke(self.revocable(key, &before));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Has the index of the user's logins show that the login of `record` has ended.
    pub(super) async fn index_end_of(&self, key: &GrantKey, record: &GrantRecord) -> Result<(), StoreError> {
        match record.whose() {
            Some((user, _)) => self.index_end(&GrantKey::from_digest(user.to_owned()), key).await,
            None => Ok(()),
        }
    }

    /// Writes the record of a sign-out; `false` if another writer came first.
    pub(super) async fn write_marker(
        &self,
        key: &GrantKey,
        expected: Expected,
        record: &GrantRecord,
    ) -> Result<bool, StoreError> {
        // It must outlive the sessions, which the count ends, the time in which an earlier login can be registered again,
        // and the user's earlier ID tokens: without it a fresh one of them would be exchanged without a login.
        let is_held = !record.relayed.chain.is_empty();
        let lifetime = if record.sign_outs > 0 || !record.retired.is_empty() || is_held {
            let put_again = self.context.past_key_grace.saturating_add(ID_TOKEN_LIFE);
            SIGNED_OUT_LIFETIME.max(self.times.record_lifetime).max(put_again)
        } else {
            SIGNED_OUT_LIFETIME.max(ID_TOKEN_LIFE)
        };
        let store = &self.context.store;
        let written = store
            .write(&key.record(), expected, &record.to_bytes()?, Some(lifetime))
            .await?;
        Ok(matches!(written, WriteOutcome::Done(_)))
    }

    pub(super) fn revoke(&self, revocable: Option<RevokedToken>) {
        if let Some(token) = revocable {
            self.revocations.revoke(token);
        }
    }

    /// The refresh token of `record`, to be revoked at its issuer; `None` if there is none or it does not open.
    pub(super) fn revocable(&self, key: &GrantKey, record: &GrantRecord) -> Option<RevokedToken> {
        let token = record.refresh_token.as_ref()?;
        let ring = &self.context.ring;
        Some(RevokedToken {
            issuer: record.issuer.clone(),
            client_id: record.client_id.clone(),
            grant: key.digest().to_owned(),
            refresh_token: sealed::open(ring, &key.record(), REFRESH_TOKEN_FIELD, &token.sealed).ok()?,
        })
    }
}
