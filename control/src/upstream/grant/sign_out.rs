//! Sign-out: the end of a login that the user requests.

use std::time::Duration;

use super::login::{retired, valid_from_seconds};
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
    /// Deletes the tokens of `key`; the result of a refresh in progress is dropped.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign_out(&self, key: &GrantKey) -> Result<(), StoreError> {
        self.inner.rotations.forget(key);
        while let Some(stored) = self.inner.read(key).await? {
            if matches!(stored.record.state, GrantState::SignedOut { .. }) {
                return Ok(());
            }
            let now_ms = self.inner.context.clock.now_ms();
            let revocable = self.inner.revocable(key, &stored.record);
            let record = signed_out(&stored.record, retired(&stored.record, false), now_ms);
            if self
                .inner
                .write_marker(key, Expected::At(stored.revision), &record)
                .await?
            {
                self.inner.revoke(revocable);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The same, and ends by that single write every session of the grant
    /// ([`Entitlement::is_revoked`](crate::upstream::entitlement::Entitlement::is_revoked)) and every login made by
    /// then, including logins that were never registered here ([`super::login::is_signed_out`]). Returns the last second
    /// (Unix time) whose logins ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign_out_everywhere(
        &self,
        user: UserOfClient<'_>,
        moment: SignOutTime,
    ) -> Result<u64, StoreError> {
        let key = GrantKey::new(user.issuer, user.client_id, user.subject);
        self.inner.rotations.forget(&key);
        loop {
            let now_ms = self.inner.context.clock.now_ms();
            let (expected, before) = match self.inner.read(&key).await? {
                Some(stored) => (Expected::At(stored.revision), stored.record),
                None => (Expected::Absent, without_login(user, now_ms)),
            };
            let revocable = self.inner.revocable(&key, &before);
            let newest = before.id_token.as_ref().and_then(|token| token.issued_at_seconds);
            let from = moment.last_second(newest, now_ms).saturating_add(1);
            let from = from.max(valid_from_seconds(&before).unwrap_or(0));
            let record = GrantRecord {
                sign_outs: before.sign_outs + 1,
                valid_from_seconds: Some(from),
                ..signed_out(&before, retired(&before, true), now_ms)
            };
            if self.inner.write_marker(&key, expected, &record).await? {
                self.inner.revoke(revocable);
                return Ok(from.saturating_sub(1));
            }
        }
    }
}

/// The record of a login that a sign-out ended, without its tokens.
pub(super) fn ended(record: &GrantRecord, now_ms: u64) -> GrantRecord {
    signed_out(record, retired(record, false), now_ms)
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
fn without_login(user: UserOfClient<'_>, now_ms: u64) -> GrantRecord {
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
