//! Grants as the console lists them. Nothing is refreshed and no issuer is called.

use secrecy::SecretString;

use super::Grants;
use super::record::{GrantKey, GrantRecord, ID_TOKEN_FIELD};
use crate::digest;
use crate::record::sealed;
use crate::store::{Cursor, StoreError};

impl Grants {
    /// One page of all grants, as [`Store::list`](crate::store::Store::list) has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<GrantKey>, Option<Cursor>), StoreError> {
        let page = self.inner.context.store.list("grant", after, limit).await?;
        let keys = page.keys.iter().filter_map(|key| {
            let (_, digest) = key.as_str().split_once(':')?;
            digest::bytes(digest)?;
            Some(GrantKey::from_digest(digest.to_owned()))
        });
        Ok((keys.collect(), page.next))
    }

    /// The stored ID token of `record`, fresh or not: its claims name the user. `None`: the record has none.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`] if it does not open.
    pub fn stored_id_token(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
    ) -> Result<Option<SecretString>, StoreError> {
        let ring = &self.inner.context.ring;
        let stored = record.id_token.as_ref();
        stored
            .map(|stored| sealed::open(ring, &key.record(), ID_TOKEN_FIELD, &stored.sealed))
            .transpose()
    }
}
