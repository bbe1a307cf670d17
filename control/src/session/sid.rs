//! The issuer's own sessions (`sid`): a logout that names one ends the logins that were made in it, and no others
//! (OpenID Connect Back-Channel Logout 1.0 §2.7).
//!
//! The `sid` of a session is a value of its own beside the session's record, so that the record's format is unchanged
//! from the version before. A set indexes the sessions of a `sid`, and a record marks a `sid` that has ended.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokenward_protocol::filter_state::{EndedDigest, SignOut};

use super::ended::last_second;
use super::{PutError, SET_MARGIN, SessionKey, SessionRecord, Sessions, user_digest, user_set};
use crate::digest;
use crate::record::codec;
use crate::store::{Expected, Key, StoreError};
use crate::upstream::grant::Login;
use crate::upstream::grant::login::{PresentedLogin, retired};
use crate::upstream::grant::record::{GrantKey, fingerprint};
use crate::upstream::grant::sign_out::SignOutTime;

const FORMAT: u8 = 1;
/// The longest ID token lifetime for which the record of an ended `sid` outlives the token and its grace.
const MAX_ID_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A logout of one session at the issuer.
#[derive(Debug, Clone, Copy)]
pub struct SidLogout<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `sid`.
    pub session_id: &'a str,
    /// `sub`, if the logout token has one.
    pub subject: Option<&'a str>,
    /// `iat` of the logout token, Unix seconds.
    pub issued_at_seconds: u64,
}

/// The record of a `sid` that has ended.
#[derive(Debug, Serialize, Deserialize)]
struct EndedSid {
    format: u8,
    /// The end, Unix seconds by the issuer's clock.
    at_seconds: u64,
    /// Fingerprints of the ended tokens. Within that second they distinguish an old login from a new one.
    #[serde(with = "digest::packed::list")]
    retired: Vec<String>,
}

/// The digest under which the issuer's session `session_id` is stored.
#[must_use]
pub fn sid_digest(issuer: &str, session_id: &str) -> String {
    digest::hex_of_parts(&["sid", issuer, session_id])
}

fn sessions_key(sid: &str) -> Key {
    Key::new("sid_sessions", sid)
}

fn ended_key(sid: &str) -> Key {
    Key::new("sid_ended", sid)
}

fn sid_key(session: &SessionKey) -> Key {
    Key::new("session_sid", &session.digest)
}

impl Sessions {
    /// Whether the issuer's session with the digest `sid` has ended since a token was issued in it. A token without `iat`
    /// counts as issued before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_sid_ended(&self, sid: &str, issued_at_seconds: Option<u64>) -> Result<bool, StoreError> {
        let ended = self.ended(sid).await?;
        Ok(ended.is_some_and(|ended| issued_at_seconds.is_none_or(|issued| issued < ended.at_seconds)))
    }

    /// Whether it was read a moment ago that no end of the issuer's session with the digest `sid` is recorded.
    pub(crate) fn is_sid_recently_open(&self, sid: &str) -> bool {
        let recent = self.context.store.recent(&ended_key(sid));
        recent.is_some_and(|recent| recent.entry().is_none())
    }

    /// Ends the sessions of logins that were made in the issuer's session, and returns their number. If the logout
    /// names the user, the user's sessions without a known `sid` end too: the ID token had none, or an older version
    /// registered it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_sid(&self, logout: SidLogout<'_>) -> Result<u64, StoreError> {
        let sid = sid_digest(logout.issuer, logout.session_id);
        let seconds = self.record_end(&sid, &logout).await?;
        // Read again: a session may have been registered before the end was recorded.
        let sessions = self.sessions_of_sid(&sid, &logout).await?;
        let entry = SignOut {
            ended: EndedDigest::issuer_session(logout.issuer, logout.session_id),
            last_second: last_second(seconds),
        };
        let count = self.end_all(vec![entry], &sessions, seconds).await?;
        self.until_unused().await;
        self.context.metrics.session_change("signed_out", count);
        Ok(count)
    }

    /// Records the end of `sid`, before its sessions end. Returns the last second whose logins ended.
    async fn record_end(&self, sid: &str, logout: &SidLogout<'_>) -> Result<u64, StoreError> {
        let before = self.ended(sid).await?;
        let mut end = before.unwrap_or(EndedSid {
            format: FORMAT,
            at_seconds: 0,
            retired: Vec::new(),
        });
        let mut newest_seconds = None;
        for (_, session) in self.sessions_of_sid(sid, logout).await? {
            let grant = GrantKey::from_digest(session.grant.clone());
            let Some(record) = self.grants.record(&grant).await? else {
                continue;
            };
            let issued = record.id_token.as_ref().and_then(|token| token.issued_at_seconds);
            newest_seconds = newest_seconds.max(issued);
            for token in retired(&record, true) {
                if !end.retired.contains(&token) {
                    end.retired.push(token);
                }
            }
        }
        let moment = SignOutTime::AtIssuer(logout.issued_at_seconds);
        let last_second = moment.last_second(newest_seconds, self.context.clock.now_ms());
        end.at_seconds = end.at_seconds.max(last_second);
        let bytes = codec::encode("serialize ended sid", &end)?;
        let token_lifetime = self.context.past_key_grace.saturating_add(MAX_ID_TOKEN_LIFETIME);
        let lifetime = self.lifetime.max(token_lifetime);
        let store = &self.context.store;
        store
            .write(&ended_key(sid), Expected::Any, &bytes, Some(lifetime))
            .await?;
        Ok(end.at_seconds)
    }

    /// The sessions that a logout of `sid` ends.
    async fn sessions_of_sid(
        &self,
        sid: &str,
        logout: &SidLogout<'_>,
    ) -> Result<Vec<(SessionKey, SessionRecord)>, StoreError> {
        let store = &self.context.store;
        let mut digests = store.members(&sessions_key(sid)).await?;
        let user = logout.subject.map(|subject| user_digest(logout.issuer, subject));
        if let Some(user) = &user {
            for digest in store.members(&user_set(user)).await? {
                if !digests.contains(&digest) {
                    digests.push(digest);
                }
            }
        }
        let mut found = Vec::new();
        for digest in digests {
            let session = SessionKey { digest };
            let Some(record) = self.read(&session).await? else {
                continue;
            };
            let is_of_user = user.as_ref().is_none_or(|user| *user == record.user);
            let is_of_sid = match self.sid(&session).await? {
                Some(own) => own == sid,
                None => user.is_some(),
            };
            if is_of_user && is_of_sid {
                found.push((session, record));
            }
        }
        Ok(found)
    }

    /// Fails with [`PutError::SignedOut`] if the issuer's session of the login has ended since the login.
    pub(super) async fn check_sid(&self, login: &Login<'_>) -> Result<(), PutError> {
        let Some(session_id) = login.session_id else {
            return Ok(());
        };
        let Some(ended) = self.ended(&sid_digest(&login.claims.issuer, session_id)).await? else {
            return Ok(());
        };
        let refresh_fingerprint = login.refresh_token.map(fingerprint);
        let presented = PresentedLogin {
            claims: login.claims,
            id_token_fingerprint: &fingerprint(login.id_token),
            refresh_fingerprint: refresh_fingerprint.as_deref(),
        };
        let is_older = (login.claims.issued_at_seconds).is_some_and(|issued| issued < ended.at_seconds);
        if is_older || presented.is_among(&ended.retired) {
            return Err(PutError::SignedOut);
        }
        Ok(())
    }

    /// Stores the issuer's session in which the login of `session` was made.
    pub(super) async fn record_sid(
        &self,
        session: &SessionKey,
        login: &Login<'_>,
        created: bool,
    ) -> Result<(), StoreError> {
        let Some(session_id) = login.session_id else {
            // An earlier login under this session may have had one.
            return if created {
                Ok(())
            } else {
                self.remove_sid(session).await
            };
        };
        let sid = sid_digest(&login.claims.issuer, session_id);
        let store = &self.context.store;
        store
            .add_member(&sessions_key(&sid), &session.digest, self.lifetime + SET_MARGIN)
            .await?;
        store
            .write(
                &sid_key(session),
                Expected::Any,
                sid.as_bytes(),
                Some(self.lifetime),
            )
            .await
            .map(drop)
    }

    /// Extends what is stored of the `sid` of `session`.
    pub(super) async fn extend_sid(
        &self,
        session: &SessionKey,
        set_lifetime: Duration,
    ) -> Result<(), StoreError> {
        let (store, key) = (&self.context.store, sid_key(session));
        let Some(entry) = store.read(&key).await? else {
            return Ok(());
        };
        let Ok(sid) = std::str::from_utf8(&entry.value) else {
            return Ok(());
        };
        store
            .add_member(&sessions_key(sid), &session.digest, set_lifetime)
            .await?;
        let expected = Expected::At(entry.revision);
        store
            .write(&key, expected, &entry.value, Some(self.lifetime))
            .await
            .map(drop)
    }

    /// Removes the `sid` of `session`.
    pub(super) async fn remove_sid(&self, session: &SessionKey) -> Result<(), StoreError> {
        let Some(sid) = self.sid(session).await? else {
            return Ok(());
        };
        let store = &self.context.store;
        store.remove_member(&sessions_key(&sid), &session.digest).await?;
        store.delete(&sid_key(session), Expected::Any).await.map(drop)
    }

    /// Digest of the `sid` of a session's login.
    async fn sid(&self, session: &SessionKey) -> Result<Option<String>, StoreError> {
        let entry = self.context.store.read(&sid_key(session)).await?;
        Ok(entry.and_then(|entry| String::from_utf8(entry.value).ok()))
    }

    /// The record of the end of `sid`, if it has ended.
    async fn ended(&self, sid: &str) -> Result<Option<EndedSid>, StoreError> {
        let key = ended_key(sid);
        let Some(entry) = self.context.store.read_and_hold(&key).await? else {
            return Ok(None);
        };
        codec::decode(FORMAT, &key, &entry.value).map(Some)
    }
}
