//! What an attempt says to the issuer, and what it makes of the answer before it is stored.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::refusal::Refusal;

use super::attempt::{Answer, Event};
use super::examine::log_rejected;
use super::record::{GrantRecord, REFRESH_TOKEN_FIELD, StoredRefreshToken};
use super::refresh::Driver;
use crate::record::sealed;
use crate::store::StoreError;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::NotPermitted;
use crate::upstream::issuer::answer::{GivenIdToken, RefreshAnswer, Transient};
use crate::upstream::streak::StreakKind;

impl Driver {
    fn open(&self, token: &StoredRefreshToken) -> Result<SecretString, StoreError> {
        let ring = &self.inner.context.ring;
        sealed::open(ring, &self.key.record(), REFRESH_TOKEN_FIELD, &token.sealed)
    }

    pub(super) async fn introspect(&self, token: &StoredRefreshToken) -> Event {
        let token = match self.open(token) {
            Ok(token) => token,
            Err(error) => return Event::NotReady(error.into()),
        };
        let context = &self.inner.context;
        match self.issuer.introspect(context, self.key.digest(), &token).await {
            Ok(introspected) => Event::Introspected(introspected),
            Err(refusal) => not_permitted(refusal),
        }
    }

    pub(super) async fn prepare(&mut self, token: &StoredRefreshToken) -> Event {
        let token = match self.open(token) {
            Ok(token) => token,
            Err(error) => return Event::NotReady(error.into()),
        };
        match self.issuer.permit(&self.inner.context, self.key.digest()).await {
            Ok(leave) => {
                self.ready = Some((leave, token));
                Event::Ready
            }
            Err(refusal) => not_permitted(refusal),
        }
    }

    pub(super) async fn present(&mut self, record: Option<&GrantRecord>) -> Event {
        let Some((leave, presented)) = self.ready.take() else {
            return Event::Answered(Answer::Transient(not_presented()));
        };
        let answer = self.issuer.refresh(&self.inner.context, leave, &presented).await;
        Event::Answered(match answer {
            RefreshAnswer::Refreshed {
                id_token,
                refresh_token,
            } => {
                let rotated =
                    refresh_token.filter(|token| token.expose_secret() != presented.expose_secret());
                let no_id_token = self.take(id_token);
                self.refreshed(rotated.as_ref(), no_id_token, &presented, record)
            }
            RefreshAnswer::Dead(death) => Answer::Dead(death),
            RefreshAnswer::Misconfigured(cause) => Answer::Misconfigured(cause),
            RefreshAnswer::Transient(transient) => Answer::Transient(transient),
        })
    }

    /// Holds the ID token for its examination, or says why there is none.
    fn take(&mut self, id_token: GivenIdToken) -> Option<Failure> {
        let failure = |kind, cause: &str| Some(Failure::new(kind, cause));
        match id_token {
            GivenIdToken::Given(token) => {
                self.id_token = Some(token);
                None
            }
            GivenIdToken::Missing => failure(
                StreakKind::Misconfigured,
                "the issuer refreshed not_permitted an ID token: the login must ask for the scope openid",
            ),
            GivenIdToken::NotText => failure(
                StreakKind::Unusable,
                "the issuer refreshed, and its id_token is no text; look at the issuer",
            ),
            GivenIdToken::CutOff => failure(
                StreakKind::Unreachable,
                "the issuer's answer broke off after the new refresh token, which is stored",
            ),
        }
    }

    fn refreshed(
        &mut self,
        rotated: Option<&SecretString>,
        no_id_token: Option<Failure>,
        presented: &SecretString,
        record: Option<&GrantRecord>,
    ) -> Answer {
        let (is_rotated, unsealed) = (rotated.is_some(), rotated);
        // A token that is never rotated would keep an older sealing key needed forever.
        let sealed = rotated
            .or_else(|| self.needs_resealing(record).then_some(presented))
            .map(|token| self.inner.sealed_refresh_token(&self.key, token))
            .transpose();
        match sealed {
            Ok(rotated) => {
                if let (Some(token), Some(record), true) = (&rotated, record, is_rotated) {
                    let now_ms = self.inner.context.clock.now_ms();
                    self.inner.rotations.record(&self.key, record, token, now_ms);
                    self.rotated = Some(token.fingerprint.clone());
                    self.rotated_token = unsealed.cloned();
                }
                Answer::Refreshed { rotated, no_id_token }
            }
            Err(_) => Answer::Transient(Transient {
                perhaps_done: true,
                cause: "the new refresh token could not be sealed".to_owned(),
                ..not_presented()
            }),
        }
    }

    /// Whether the stored refresh token is sealed by an older key.
    fn needs_resealing(&self, record: Option<&GrantRecord>) -> bool {
        let stored = record.and_then(|record| record.refresh_token.as_ref());
        stored.is_some_and(|token| !sealed::is_current(&self.inner.context.ring, &token.sealed))
    }

    pub(super) async fn examine(&self, record: Option<&GrantRecord>) -> Event {
        let (Some(token), Some(record)) = (&self.id_token, record) else {
            return Event::Examined(Err(Failure::misconfigured("there is none")));
        };
        let examined = self.inner.examine(&self.key, &self.issuer, record, token).await;
        if let Err(failure) = &examined {
            log_rejected(&self.key, &self.issuer, failure);
        }
        if let (Ok(token), Some(fingerprint)) = (&examined, self.refresh_token(record)) {
            self.inner
                .rotations
                .attach_id_token(&self.key, fingerprint, token);
        }
        Event::Examined(examined)
    }

    /// Fingerprint of the newest refresh token of this attempt.
    fn refresh_token<'a>(&'a self, record: &'a GrantRecord) -> Option<&'a str> {
        let stored = record
            .refresh_token
            .as_ref()
            .map(|token| token.fingerprint.as_str());
        self.rotated.as_deref().or(stored)
    }
}

fn not_permitted(refusal: NotPermitted) -> Event {
    match refusal {
        NotPermitted::Throttled(held_back) => Event::NotReady(held_back.refused(Refusal::IssuerUnavailable)),
        NotPermitted::Misconfigured(cause) => Event::PreparationFailed(Failure::misconfigured(cause)),
        NotPermitted::Transient(transient) => Event::PreparationFailed(transient.into()),
    }
}

fn not_presented() -> Transient {
    Transient {
        kind: StreakKind::Unreachable,
        retry_after: None,
        cause: "nothing was presented".to_owned(),
        perhaps_done: false,
    }
}
