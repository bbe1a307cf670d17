//! Which record presents a refresh token that a client may hold: an index from the token's digest to its grant.
//!
//! Two records must never present one refresh token. So the index is written before a login with a refresh token is
//! stored, and before a client receives one: a caller that finds a token here leaves it to that record.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokenward_protocol::duration::whole_ms;

use super::known_login::{Login, LoginSource};
use super::record::{GrantKey, GrantRecord, VersionedGrant, fingerprint};
use super::{Inner, SIGNED_OUT_LIFETIME};
use crate::digest;
use crate::record::codec;
use crate::store::{Expected, Key, Revision, StoreError, WriteOutcome};

const FORMAT: u8 = 1;
/// How long after a claim the record that it names may still be written. Until then no other record claims the token.
pub(super) const CLAIM_TIME: Duration = Duration::from_secs(10);
/// How long after its claim a record is written at the latest. The rest is for the write itself, and for clocks.
const WRITE_TIME: Duration = Duration::from_secs(4);

/// A client's refresh token, by its fingerprint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldToken<'a> {
    /// `iss`.
    pub(crate) issuer: &'a str,
    /// The client to which it was issued.
    pub(crate) client_id: &'a str,
    /// Its fingerprint.
    pub(crate) fingerprint: &'a str,
}

impl HeldToken<'_> {
    fn record(self) -> Key {
        let name = digest::hex_of_parts(&["relay_token", self.issuer, self.client_id, self.fingerprint]);
        Key::new("relay_token", &name)
    }

    /// The key of the record that is named by this token.
    pub(super) fn own_key(self) -> GrantKey {
        GrantKey::of_login(self.issuer, self.client_id, self.fingerprint)
    }

    /// Whether `record` is of the same client.
    pub(super) fn is_of(self, record: &GrantRecord) -> bool {
        record.issuer == self.issuer && record.client_id == self.client_id
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct OwnerRecord {
    format: u8,
    #[serde(with = "digest::packed")]
    grant: String,
    claimed_at_ms: u64,
}

/// The record that presents a token.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) revision: Revision,
    pub(super) grant: GrantKey,
    claimed_at_ms: u64,
}

impl Owner {
    /// Whether the claim is so young that its record may still be written.
    pub(super) fn is_recent(&self, now_ms: u64) -> bool {
        let age_ms = now_ms.saturating_sub(self.claimed_at_ms);
        age_ms < whole_ms(CLAIM_TIME) && self.claimed_at_ms <= now_ms.saturating_add(whole_ms(CLAIM_TIME))
    }
}

/// Whether the grant of a login may store its refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Yes: no client presents it here.
    Needless,
    /// Yes, for a while since this time (Unix ms).
    Since(u64),
    /// Another record holds the token, or is about to, and presents it.
    OfAnother,
}

impl Claim {
    /// Whether so much time has passed that the token must be claimed again before it is written.
    pub(super) fn is_over(self, now_ms: u64) -> bool {
        match self {
            Self::Since(claimed_at_ms) => now_ms.saturating_sub(claimed_at_ms) > whole_ms(WRITE_TIME),
            Self::Needless | Self::OfAnother => false,
        }
    }
}

impl Inner {
    /// The owner of `token`; `None` if no record holds it, as far as the store knows.
    pub(super) async fn owner(&self, token: HeldToken<'_>) -> Result<Option<Owner>, StoreError> {
        let key = token.record();
        let Some(entry) = self.context.store.read(&key).await? else {
            return Ok(None);
        };
        let record: OwnerRecord = codec::decode(FORMAT, &key, &entry.value)?;
        Ok(Some(Owner {
            revision: entry.revision,
            grant: GrantKey::from_digest(record.grant),
            claimed_at_ms: record.claimed_at_ms,
        }))
    }

    /// Makes `grant` the owner of `token` if `expected` holds; whether it did.
    pub(super) async fn set_owner(
        &self,
        token: HeldToken<'_>,
        grant: &GrantKey,
        expected: Expected,
    ) -> Result<bool, StoreError> {
        let record = OwnerRecord {
            format: FORMAT,
            grant: grant.digest().to_owned(),
            claimed_at_ms: self.context.clock.now_ms(),
        };
        let bytes = codec::encode("serialize owner", &record)?;
        // The record that is named by the token is found without the index too.
        let lifetime = Some(if *grant == token.own_key() {
            SIGNED_OUT_LIFETIME.min(self.times.record_lifetime)
        } else {
            self.times.record_lifetime
        });
        let store = &self.context.store;
        let written = store.write(&token.record(), expected, &bytes, lifetime).await?;
        Ok(matches!(written, WriteOutcome::Done(_)))
    }

    /// Takes a login from before its issuer had a relay into the index: its client may hold the refresh token with which it was
    /// registered, and refresh it any moment. `false`: another record presents the token by now, and will be attached.
    pub(super) async fn adopt(&self, key: &GrantKey, stored: &VersionedGrant) -> Result<bool, StoreError> {
        let mut record = stored.record.clone();
        let newest = record
            .refresh_token
            .as_ref()
            .map(|token| token.fingerprint.clone());
        let registered = record.login_fingerprint.clone();
        for fingerprint in registered.iter().chain(&newest) {
            let token = HeldToken {
                issuer: &record.issuer,
                client_id: &record.client_id,
                fingerprint,
            };
            let is_own = self.set_owner(token, key, Expected::Absent).await?
                || self.owner(token).await?.is_some_and(|owner| owner.grant == *key);
            if is_own {
                record.relayed.hand_out(fingerprint);
            } else if newest.as_ref() == Some(fingerprint) {
                return Ok(false);
            }
        }
        // Another writer may come first; then the next refresh adopts it.
        self.write(key, Expected::At(stored.revision), &record).await?;
        Ok(true)
    }

    /// Removes tokens that no longer have a place in the chain of `grant`. Best effort: what remains expires.
    pub(super) async fn drop_owners(&self, record: &GrantRecord, grant: &GrantKey, dropped: &[String]) {
        for fingerprint in dropped {
            let token = HeldToken {
                issuer: &record.issuer,
                client_id: &record.client_id,
                fingerprint,
            };
            if let Ok(Some(owner)) = self.owner(token).await
                && owner.grant == *grant
            {
                let store = &self.context.store;
                let _ = store.delete(&token.record(), Expected::At(owner.revision)).await;
            }
        }
    }

    /// Claims the refresh token of `login` for the grant of `key`, before it is stored there.
    pub(super) async fn claim_token(&self, key: &GrantKey, login: &Login<'_>) -> Result<Claim, StoreError> {
        let is_relayed = !matches!(login.source, LoginSource::Registered { is_relayed: false });
        let (true, Some(token)) = (is_relayed, login.refresh_token) else {
            return Ok(Claim::Needless);
        };
        let fingerprint = fingerprint(token);
        let token = HeldToken {
            issuer: &login.claims.issuer,
            client_id: login.client_id,
            fingerprint: &fingerprint,
        };
        loop {
            let claimed_at_ms = self.context.clock.now_ms();
            let expected = match self.owner(token).await? {
                None => Expected::Absent,
                Some(owner) if owner.grant == *key => Expected::At(owner.revision),
                Some(owner) => {
                    let holder = self.read(&owner.grant).await?;
                    let holds = holder.is_some_and(|holder| holder.record.is_of_chain(&fingerprint));
                    if holds || owner.is_recent(claimed_at_ms) {
                        return Ok(Claim::OfAnother);
                    }
                    Expected::At(owner.revision)
                }
            };
            if self.set_owner(token, key, expected).await? {
                return Ok(Claim::Since(claimed_at_ms));
            }
        }
    }
}
