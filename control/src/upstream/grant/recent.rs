//! What callers get of a grant without the store: the fresh token of a record that was read a moment ago
//! ([`crate::store::recent`]). Every other answer is for the store to decide.

use std::sync::{Arc, OnceLock};

use tokenward_protocol::token_endpoint::Reason;

use super::attach::is_signed_out_with;
use super::decide::{Decision, Want, decide};
use super::record::{GrantKey, GrantRecord};
use super::{Grants, Inner, Served};
use crate::store::Entry;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::issuer::proven_tokens::TokenDigest;
use crate::upstream::token_kind::TokenKind;

/// A record that was read a moment ago, and its tokens once they were opened.
struct RecentGrant {
    record: GrantRecord,
    id_token: OnceLock<Option<Arc<Served>>>,
    access_token: OnceLock<Option<Arc<Served>>>,
}

impl RecentGrant {
    /// `None`: this version cannot read it.
    fn decoded(key: &GrantKey, entry: &Entry) -> Option<Self> {
        let record = GrantRecord::read(&key.record(), &entry.value).ok()?;
        Some(Self {
            record,
            id_token: OnceLock::new(),
            access_token: OnceLock::new(),
        })
    }
}

impl Grants {
    /// The token of `key`, if its record was read a moment ago and the token may be served as it is.
    pub(crate) fn recent_token(
        &self,
        key: &GrantKey,
        (kind, reason): (TokenKind, Reason),
        presented: TokenDigest,
        entitlement: Entitlement,
    ) -> Option<Arc<Served>> {
        let inner = &self.inner;
        let recent = inner.recent(key)?;
        let recent = recent.as_ref().as_ref()?;
        let want = match kind {
            TokenKind::IdToken => Want::id_token(reason, presented.fingerprint(), entitlement),
            TokenKind::AccessToken => Want::access_token(reason, entitlement),
        };
        let now_ms = inner.context.clock.now_ms();
        if decide(&recent.record, &want, &inner.times.policy, now_ms) != Decision::Serve
            || !inner.is_recent_user_in(&recent.record)
        {
            return None;
        }
        let served = match kind {
            TokenKind::IdToken => &recent.id_token,
            TokenKind::AccessToken => &recent.access_token,
        };
        served
            .get_or_init(|| inner.serve(key, &recent.record, kind).ok().map(Arc::new))
            .clone()
    }

    /// [`Grants::user_of_login`] of a record that was read a moment ago.
    pub(crate) fn recent_user_of_login(&self, key: &GrantKey) -> Option<GrantKey> {
        let recent = self.inner.recent(key)?;
        let recent = recent.as_ref().as_ref()?;
        Some(match recent.record.whose() {
            Some((user, _)) => GrantKey::from_digest(user.to_owned()),
            None => key.clone(),
        })
    }
}

impl Inner {
    fn recent(&self, key: &GrantKey) -> Option<Arc<Option<RecentGrant>>> {
        let recent = self.context.store.recent(&key.record())?;
        recent.decoded(|entry| RecentGrant::decoded(key, entry))
    }

    /// Whether `record` is the user's own, or the user's own was read a moment ago and has no sign-out since.
    fn is_recent_user_in(&self, record: &GrantRecord) -> bool {
        let Some((user, _)) = record.whose() else {
            return true;
        };
        let of_user = self.recent(&GrantKey::from_digest(user.to_owned()));
        let of_user = of_user.as_deref().and_then(Option::as_ref);
        of_user.is_some_and(|user| !is_signed_out_with(Some(&user.record), record))
    }
}
