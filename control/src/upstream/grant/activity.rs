//! What happens to grants, recorded for people: learned logins and failed refreshes.

use secrecy::ExposeSecret;
use tokenward_protocol::refusal::Refusal;

use super::attempt::{Finished, Verdict};
use super::record::{GrantKey, GrantRecord, ID_TOKEN_FIELD};
use super::{Grants, Inner, Login};
use crate::activity::{Event, EventKind, User, Via};
use crate::digest;
use crate::record::sealed;

impl Grants {
    /// The user of `key`, as the newest ID token of the grant names them. Best effort: `None` if there is no such token, or
    /// the store does not answer.
    pub(crate) async fn user(&self, key: &GrantKey) -> Option<User> {
        let record = self.record(key).await.ok()??;
        self.inner.named_user(key, &record)
    }
}

impl Inner {
    /// The user of `record`, by its ID token.
    pub(super) fn named_user(&self, key: &GrantKey, record: &GrantRecord) -> Option<User> {
        let stored = record.id_token.as_ref()?;
        let token = sealed::open(&self.context.ring, &key.record(), ID_TOKEN_FIELD, &stored.sealed).ok()?;
        User::of_token(token.expose_secret())
    }

    /// Records a login that the relay has learned.
    pub(super) fn record_learned(&self, key: &GrantKey, login: &Login<'_>) {
        self.context.recorder.record(Event {
            issuer: Some(login.claims.issuer.clone()),
            grant: Some(digest::short(key.digest()).to_owned()),
            via: Some(Via::Relay),
            ..Event::new(EventKind::Login, self.context.clock.now_ms())
                .verified_user(User::of_token(login.id_token.expose_secret()))
        });
    }

    /// Records an attempt that called the issuer and brought no usable token.
    pub(super) fn record_failed_refresh(
        &self,
        key: &GrantKey,
        issuer: &str,
        refreshed: Option<&GrantRecord>,
        finished: &Finished,
    ) {
        let (Some(outcome), Verdict::Refuse(refused)) = (finished.outcome, &finished.verdict) else {
            return;
        };
        // The outcome came too late: another login took its place, or the user signed out.
        if outcome == "superseded" || refused.refusal == Refusal::UnknownSession {
            return;
        }
        let refusal = if outcome == "refreshed" {
            refused.refusal.name()
        } else {
            outcome
        };
        self.context.recorder.record(Event {
            issuer: Some(issuer.to_owned()),
            grant: Some(digest::short(key.digest()).to_owned()),
            ..Event::new(EventKind::RefreshFailed, self.context.clock.now_ms())
                .verified_user(refreshed.and_then(|record| self.named_user(key, record)))
                .refused(refusal, &refused.cause, refused.refusal.description())
        });
    }
}
