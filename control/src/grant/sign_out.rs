//! The end that the user wants.

use super::login::retired;
use super::record::{GrantKey, GrantRecord, GrantState, REFRESH_TOKEN_FIELD};
use super::{Grants, Inner, SIGNED_OUT_LIFETIME};
use crate::issuer::revocation::GivenBack;
use crate::sealed;
use crate::store::{Expected, Outcome, StoreError};

impl Grants {
    /// Forgets the tokens of `key`; whatever is in flight for it is dropped when it lands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign_out(&self, key: &GrantKey) -> Result<(), StoreError> {
        self.signed_out(key, false).await
    }

    /// The same, and ends every session of `key` by that one write: [`Since::is_over`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign_out_everywhere(&self, key: &GrantKey) -> Result<(), StoreError> {
        self.signed_out(key, true).await
    }

    async fn signed_out(&self, key: &GrantKey, everywhere: bool) -> Result<(), StoreError> {
        let inner = &self.inner;
        inner.rotations.forget(key);
        while let Some(kept) = inner.read(key).await? {
            if !everywhere && matches!(kept.record.state, GrantState::SignedOut { .. }) {
                return Ok(());
            }
            let sign_outs = kept.record.sign_outs + u64::from(everywhere);
            let retired = retired(&kept.record);
            // Both must outlive the sessions: the count ends them, and a dead login may be put again as long.
            let lifetime = if sign_outs > 0 || !retired.is_empty() {
                SIGNED_OUT_LIFETIME.max(inner.times.record_lifetime)
            } else {
                SIGNED_OUT_LIFETIME
            };
            let now_ms = inner.context.clock.now_ms();
            let given_back = inner.given_back(key, &kept.record);
            let record = GrantRecord {
                state: GrantState::SignedOut { since_ms: now_ms },
                id_token: None,
                refresh_token: None,
                login_fingerprint: None,
                intent: None,
                failures: None,
                sign_outs,
                retired,
                ..kept.record
            };
            let written = inner
                .context
                .store
                .write(
                    &key.record(),
                    Expected::At(kept.revision),
                    &record.to_bytes()?,
                    Some(lifetime),
                )
                .await?;
            if let Outcome::Done(_) = written {
                given_back
                    .into_iter()
                    .for_each(|token| inner.revocations.give_back(token));
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Inner {
    /// The refresh token of `record`, to be given back at its issuer; `None` where there is none or it does not open.
    fn given_back(&self, key: &GrantKey, record: &GrantRecord) -> Option<GivenBack> {
        let token = record.refresh_token.as_ref()?;
        let ring = &self.context.ring;
        Some(GivenBack {
            issuer: record.issuer.clone(),
            client_id: record.client_id.clone(),
            grant: key.digest().to_owned(),
            refresh_token: sealed::open(ring, &key.record(), REFRESH_TOKEN_FIELD, &token.sealed).ok()?,
        })
    }
}
