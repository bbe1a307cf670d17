//! The issuer's own sessions (`sid`): a logout that names one ends the logins that were made in it, and no others
//! (OpenID Connect Back-Channel Logout 1.0 §2.7).
//!
//! Which `sid` a session was put with stands in a value of its own beside the session's record, so that records of the
//! version before stay what they are. A set leads from a `sid` to its sessions, and a mark says that it has ended.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{NotPut, SET_MARGIN, SessionKey, SessionRecord, Sessions, user_digest, user_set};
use crate::digest;
use crate::record::codec;
use crate::store::{Expected, Key, StoreError};
use crate::upstream::grant::Login;
use crate::upstream::grant::login::{Presented, retired};
use crate::upstream::grant::record::{GrantKey, fingerprint};
use crate::upstream::grant::sign_out::SignOutMoment;

const FORMAT: u8 = 1;
/// Longest life of an ID token that a mark outlives, beside the grace in which it proves its subject.
const ID_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A logout of one session at the issuer.
#[derive(Debug, Clone, Copy)]
pub struct SidLogout<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// `sid`.
    pub session_id: &'a str,
    /// `sub`, where the logout token names it.
    pub subject: Option<&'a str>,
    /// `iat` of the logout token, Unix seconds.
    pub issued_at_seconds: u64,
}

/// The mark of a `sid` that has ended.
#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    format: u8,
    /// Unix seconds, by the issuer's clock.
    at_seconds: u64,
    /// Fingerprints of the tokens that ended: in that very second they tell an old login from a new one.
    #[serde(with = "digest::packed::list")]
    retired: Vec<String>,
}

fn sid_digest(issuer: &str, session_id: &str) -> String {
    digest::hex_of_parts(&["sid", issuer, session_id])
}

fn sessions_of(sid: &str) -> Key {
    Key::new("sid_sessions", sid)
}

fn ended_mark(sid: &str) -> Key {
    Key::new("sid_ended", sid)
}

fn sid_of(session: &SessionKey) -> Key {
    Key::new("session_sid", &session.digest)
}

impl Sessions {
    /// Whether the issuer's session `session_id` has ended after a token was issued in it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_ended(
        &self,
        issuer: &str,
        session_id: &str,
        issued_at_seconds: Option<u64>,
    ) -> Result<bool, StoreError> {
        let ended = self.ended(&sid_digest(issuer, session_id)).await?;
        Ok(ended.is_some_and(|ended| issued_at_seconds.is_none_or(|issued| issued < ended.at_seconds)))
    }

    /// Ends the sessions that were put with a login of the issuer's session. Those of the same user of which no `sid` is
    /// known (the ID token had none, or an older version took it in) end too, where the logout names the user.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_of_sid(&self, logout: SidLogout<'_>) -> Result<u64, StoreError> {
        let sid = sid_digest(logout.issuer, logout.session_id);
        self.mark_ended(&sid, &logout).await?;
        let mut count = 0;
        // Looked for again: one may have been put before the mark was there.
        for (session, record) in self.of_sid(&sid, &logout).await? {
            self.forget(&session, &record).await?;
            count += 1;
        }
        self.context.metrics.session_change("signed_out", count);
        Ok(count)
    }

    async fn mark_ended(&self, sid: &str, logout: &SidLogout<'_>) -> Result<(), StoreError> {
        let before = self.ended(sid).await?;
        let mut mark = before.unwrap_or(Ended {
            format: FORMAT,
            at_seconds: 0,
            retired: Vec::new(),
        });
        let mut newest_seconds = None;
        for (_, session) in self.of_sid(sid, logout).await? {
            let grant = GrantKey::from_digest(session.grant.clone());
            let Some(record) = self.grants.record(&grant).await? else {
                continue;
            };
            let issued = record.id_token.as_ref().and_then(|token| token.issued_at_seconds);
            newest_seconds = newest_seconds.max(issued);
            for token in retired(&record, true) {
                if !mark.retired.contains(&token) {
                    mark.retired.push(token);
                }
            }
        }
        let moment = SignOutMoment::AtIssuer(logout.issued_at_seconds);
        let last_second = moment.last_second(newest_seconds, self.context.clock.now_ms());
        mark.at_seconds = mark.at_seconds.max(last_second);
        let bytes = codec::encode("serialize ended sid", &mark)?;
        let put_again = self.context.past_key_grace.saturating_add(ID_TOKEN_LIFE);
        let lifetime = self.lifetime.max(put_again);
        let store = &self.context.store;
        store
            .write(&ended_mark(sid), Expected::Any, &bytes, Some(lifetime))
            .await
            .map(drop)
    }

    /// The sessions that a logout of `sid` ends.
    async fn of_sid(
        &self,
        sid: &str,
        logout: &SidLogout<'_>,
    ) -> Result<Vec<(SessionKey, SessionRecord)>, StoreError> {
        let store = &self.context.store;
        let mut digests = store.members(&sessions_of(sid)).await?;
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
            let is_users = user.as_ref().is_none_or(|user| *user == record.user);
            let is_of_sid = match self.sid(&session).await? {
                Some(own) => own == sid,
                None => user.is_some(),
            };
            if is_users && is_of_sid {
                found.push((session, record));
            }
        }
        Ok(found)
    }

    /// [`NotPut::SignedOut`] where the issuer's session that the login was made in has ended since.
    pub(super) async fn not_ended_by_sid(&self, login: &Login<'_>) -> Result<(), NotPut> {
        let Some(session_id) = login.session_id else {
            return Ok(());
        };
        let Some(ended) = self.ended(&sid_digest(&login.claims.issuer, session_id)).await? else {
            return Ok(());
        };
        let refresh_fingerprint = login.refresh_token.map(fingerprint);
        let presented = Presented {
            claims: login.claims,
            id_token_fingerprint: &fingerprint(login.id_token),
            refresh_fingerprint: refresh_fingerprint.as_deref(),
        };
        let is_older = (login.claims.issued_at_seconds).is_some_and(|issued| issued < ended.at_seconds);
        if is_older || presented.is_among(&ended.retired) {
            return Err(NotPut::SignedOut);
        }
        Ok(())
    }

    /// Notes in which of the issuer's sessions the login of `session` was made.
    pub(super) async fn note_sid(
        &self,
        session: &SessionKey,
        login: &Login<'_>,
        created: bool,
    ) -> Result<(), StoreError> {
        let Some(session_id) = login.session_id else {
            // A login before this one may have had one.
            return if created {
                Ok(())
            } else {
                self.forget_sid(session).await
            };
        };
        let sid = sid_digest(&login.claims.issuer, session_id);
        let store = &self.context.store;
        store
            .add_member(&sessions_of(&sid), &session.digest, self.lifetime + SET_MARGIN)
            .await?;
        store
            .write(
                &sid_of(session),
                Expected::Any,
                sid.as_bytes(),
                Some(self.lifetime),
            )
            .await
            .map(drop)
    }

    pub(super) async fn forget_sid(&self, session: &SessionKey) -> Result<(), StoreError> {
        let Some(sid) = self.sid(session).await? else {
            return Ok(());
        };
        let store = &self.context.store;
        store.remove_member(&sessions_of(&sid), &session.digest).await?;
        store.delete(&sid_of(session), Expected::Any).await.map(drop)
    }

    /// Digest of the `sid` that a session was put with.
    async fn sid(&self, session: &SessionKey) -> Result<Option<String>, StoreError> {
        let entry = self.context.store.read(&sid_of(session)).await?;
        Ok(entry.and_then(|entry| String::from_utf8(entry.value).ok()))
    }

    async fn ended(&self, sid: &str) -> Result<Option<Ended>, StoreError> {
        let key = ended_mark(sid);
        let Some(entry) = self.context.store.read(&key).await? else {
            return Ok(None);
        };
        codec::decode(FORMAT, &key, &entry.value).map(Some)
    }
}
