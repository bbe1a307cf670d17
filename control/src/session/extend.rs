//! Extends a session whose client is active without registering it again: a client of our own authorization server.

use super::{SET_MARGIN, SessionKey, Sessions, user_set};
use crate::record::codec;
use crate::store::{Expected, Key, StoreError};
use crate::upstream::grant::record::GrantKey;

impl SessionKey {
    /// The key of the refresh tokens of our own that belong to the session, if it is a login at our authorization server.
    #[must_use]
    pub fn family(&self) -> Key {
        Key::new("login_family", &self.digest)
    }
}

impl Sessions {
    /// Extends the lifetimes of a session and its grant, as if it had been registered now. A session that has ended in
    /// between stays ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn extend(&self, session: &SessionKey) -> Result<(), StoreError> {
        let key = session.record();
        let store = &self.context.store;
        let Some(entry) = store.read(&key).await? else {
            return Ok(());
        };
        let record: super::SessionRecord = codec::decode(super::FORMAT, &key, &entry.value)?;
        let grant = GrantKey::from_digest(record.grant);
        // As in a registration: no session outlives its entries in the sets.
        let set_lifetime = self.lifetime + SET_MARGIN;
        for set in [grant.sessions(), user_set(&record.user)] {
            store.add_member(&set, &session.digest, set_lifetime).await?;
        }
        self.extend_sid(session, set_lifetime).await?;
        // A conflict is a registration, which extends as well, or the end of the session.
        let expected = Expected::At(entry.revision);
        let lifetime = Some(self.lifetime);
        store.write(&key, expected, &entry.value, lifetime).await?;
        self.grants.extend(&grant).await
    }
}
