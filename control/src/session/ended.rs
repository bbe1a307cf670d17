//! Tells filters which sessions have ended: what a worker holds of one must not outlive it.
//!
//! The entry is appended before the session's record is removed, so that a repeated request appends it again where the first one
//! broke off. A mark stays behind, for a handle that is registered again.

use tokenward_protocol::filter_state::{ALWAYS, EndedDigest, LIFTED, SignOut};

use super::{SessionKey, SessionRecord, Sessions};
use crate::digest;
use crate::store::{Expected, Key, StoreError};
use crate::upstream::grant::record::GrantKey;
use crate::upstream::grant::sign_out::SignOutTime;

/// `seconds` as an entry states it.
pub(super) fn last_second(seconds: u64) -> u32 {
    u32::try_from(seconds).map_or(ALWAYS, |seconds| seconds.clamp(LIFTED + 1, ALWAYS))
}

impl SessionKey {
    fn ended(&self) -> Option<EndedDigest> {
        let digest = digest::bytes(&self.digest)?;
        Some(EndedDigest::of_session_digest(&digest))
    }

    /// The mark of a session that has ended.
    fn ended_mark(&self) -> Key {
        Key::new("session_ended", &self.digest)
    }
}

impl Sessions {
    /// The last second whose tokens end with a session of `record`, now.
    pub(super) async fn last_second_of(&self, record: &SessionRecord) -> Result<u64, StoreError> {
        let grant = GrantKey::from_digest(record.grant.clone());
        let grant = match self.grants.record(&grant).await {
            Ok(grant) => grant,
            // The session ends even so.
            Err(StoreError::Unexpected { .. }) => None,
            Err(error) => return Err(error),
        };
        let newest_seconds = grant
            .and_then(|grant| grant.id_token)
            .and_then(|token| token.issued_at_seconds);
        Ok(SignOutTime::Now.last_second(newest_seconds, self.context.clock.now_ms()))
    }

    /// The entry of a session whose tokens ended until `seconds`. Those of a login at our own authorization server ended for good:
    /// its session id is random, and never registered again.
    pub(super) async fn sign_out_of(
        &self,
        session: &SessionKey,
        seconds: u64,
    ) -> Result<Option<SignOut>, StoreError> {
        let Some(ended) = session.ended() else {
            return Ok(None);
        };
        let is_own = self.has_families && self.context.store.read(&session.family()).await?.is_some();
        Ok(Some(SignOut {
            ended,
            last_second: if is_own { ALWAYS } else { last_second(seconds) },
        }))
    }

    /// Removes a session of which filters know that it has ended.
    pub(super) async fn remove_ended(
        &self,
        session: &SessionKey,
        record: &SessionRecord,
    ) -> Result<(), StoreError> {
        let (store, lifetime) = (&self.context.store, self.context.sign_outs.lifetime());
        store
            .write(&session.ended_mark(), Expected::Any, b"1", Some(lifetime))
            .await?;
        self.remove(session, record).await
    }

    /// Appends `entries` and those of `sessions`, whose tokens ended until `seconds`; then removes the sessions. Returns their
    /// number.
    pub(super) async fn end_all(
        &self,
        mut entries: Vec<SignOut>,
        sessions: &[(SessionKey, SessionRecord)],
        seconds: u64,
    ) -> Result<u64, StoreError> {
        for (session, _) in sessions {
            entries.extend(self.sign_out_of(session, seconds).await?);
        }
        self.context.sign_outs.append(&entries).await?;
        let mut count = 0;
        for (session, record) in sessions {
            self.remove_ended(session, record).await?;
            count += 1;
        }
        Ok(count)
    }

    /// Tells filters that `session` is registered again, if it had ended. Called before it is stored: its next end is appended
    /// after this.
    pub(super) async fn lift_end(&self, session: &SessionKey) -> Result<(), StoreError> {
        let (store, mark) = (&self.context.store, session.ended_mark());
        let Some(entry) = store.read(&mark).await? else {
            return Ok(());
        };
        if let Some(ended) = session.ended() {
            let last_second = LIFTED;
            self.context
                .sign_outs
                .append(&[SignOut { ended, last_second }])
                .await?;
        }
        store.delete(&mark, Expected::At(entry.revision)).await.map(drop)
    }
}
