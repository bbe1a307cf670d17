//! Sessions as the console lists them: by pages of the store, and those of one grant.

use super::{SessionKey, Sessions};
use crate::digest;
use crate::store::{Cursor, StoreError};
use crate::upstream::grant::record::GrantKey;

impl SessionKey {
    /// The session whose handle has this digest, 64 hex digits; `None` for any other text. A digest opens nothing: callers
    /// present handles.
    #[must_use]
    pub fn parse_digest(digest: &str) -> Option<Self> {
        digest::bytes(digest)?;
        Some(Self {
            digest: digest.to_owned(),
        })
    }
}

impl Sessions {
    /// One page of all sessions, as [`Store::list`](crate::store::Store::list) has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page(
        &self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<(Vec<SessionKey>, Option<Cursor>), StoreError> {
        let page = self.context.store.list("session", after, limit).await?;
        let keys = page.keys.iter().filter_map(|key| {
            let (_, digest) = key.as_str().split_once(':')?;
            SessionKey::parse_digest(digest)
        });
        Ok((keys.collect(), page.next))
    }

    /// At most `most` sessions of `grant`, sorted by digest, and how many there are. An entry can outlive its session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_grant(
        &self,
        grant: &GrantKey,
        most: usize,
    ) -> Result<(Vec<SessionKey>, usize), StoreError> {
        let mut digests = self.context.store.members(&grant.sessions()).await?;
        let count = digests.len();
        digests.sort_unstable();
        digests.truncate(most);
        let keys = digests.into_iter().map(|digest| SessionKey { digest });
        Ok((keys.collect(), count))
    }
}
