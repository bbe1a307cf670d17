//! The calls of an attempt to the issuer, and the conversion of the answer before it is stored.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use super::attempt::{Answer, Event};
use super::examine::log_rejected;
use super::record::{GrantRecord, REFRESH_TOKEN_FIELD, StoredAccessToken, StoredRefreshToken};
use super::refresh::Driver;
use super::relayed::{IssuerWords, StoredResponse};
use crate::record::sealed;
use crate::store::StoreError;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::NotPermitted;
use crate::upstream::issuer::access_token::GivenAccessToken;
use crate::upstream::issuer::answer::response::TokenResponse;
use crate::upstream::issuer::answer::{GivenIdToken, RawAnswer, RefreshAnswer, Transient};
use crate::upstream::issuer::pace::Urgency;
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

    pub(super) async fn prepare(&mut self, token: &StoredRefreshToken, urgency: Urgency) -> Event {
        let token = match self.open(token) {
            Ok(token) => token,
            Err(error) => return Event::NotReady(error.into()),
        };
        let context = &self.inner.context;
        match self.issuer.permit(context, self.key.digest(), urgency).await {
            Ok(permit) => {
                self.ready = Some((permit, token));
                Event::Ready
            }
            Err(refusal) => not_permitted(refusal),
        }
    }

    pub(super) async fn present(&mut self, record: Option<&GrantRecord>) -> Event {
        let Some((permit, presented)) = self.ready.take() else {
            return Event::Answered(Answer::Transient(not_presented()));
        };
        let (answer, raw) = self.issuer.refresh(&self.inner.context, permit, &presented).await;
        let raw = raw.filter(|_| self.issuer.is_relayed());
        if let (RefreshAnswer::Dead(_) | RefreshAnswer::Misconfigured(_), Some(raw)) = (&answer, &raw) {
            self.words = words_of(raw);
        }
        Event::Answered(match answer {
            RefreshAnswer::Refreshed {
                id_token,
                refresh_token,
                access_token,
            } => {
                let rotated =
                    refresh_token.filter(|token| token.expose_secret() != presented.expose_secret());
                let response = raw.and_then(|raw| self.sealed_response(&raw, &id_token));
                let needed = access_token.filter(|_| response.is_none() && self.issuer.keeps_access_tokens());
                let access_token = needed.and_then(|token| self.sealed_access_token(&token, &id_token));
                let no_id_token = self.hold_id_token(id_token);
                let sealed = self.sealed_answer(rotated.as_ref(), &presented, record);
                sealed.map_or_else(Answer::Transient, |rotated| Answer::Refreshed {
                    rotated,
                    no_id_token,
                    response: response.map(Box::new),
                    access_token: access_token.map(Box::new),
                })
            }
            RefreshAnswer::Dead(death) => Answer::Dead {
                death,
                words: self.words.clone(),
            },
            RefreshAnswer::Misconfigured(cause) => Answer::Misconfigured(cause),
            RefreshAnswer::Transient(transient) => Answer::Transient(transient),
        })
    }

    /// Holds the ID token for its check, or returns why there is none.
    fn hold_id_token(&mut self, id_token: GivenIdToken) -> Option<Failure> {
        let failure = |kind, cause: &str| Some(Failure::new(kind, cause));
        match id_token {
            GivenIdToken::Given(token) => {
                self.id_token = Some(token);
                None
            }
            GivenIdToken::Missing => failure(
                StreakKind::Misconfigured,
                "the issuer refreshed without an ID token: the login must request the scope openid",
            ),
            GivenIdToken::NotText => failure(
                StreakKind::Unusable,
                "the issuer refreshed, and its id_token is not a string; check the issuer",
            ),
            GivenIdToken::CutOff => failure(
                StreakKind::Unreachable,
                "the issuer's answer broke off after the new refresh token, which is stored",
            ),
        }
    }

    /// The response for clients of the relay, unless it breaks off or is larger than any plausible one.
    fn sealed_response(&self, raw: &RawAnswer, id_token: &GivenIdToken) -> Option<StoredResponse> {
        let id_token = match id_token {
            GivenIdToken::Given(token) => Some(token),
            GivenIdToken::Missing => None,
            GivenIdToken::NotText | GivenIdToken::CutOff => return None,
        };
        let response = TokenResponse::read(&raw.body)?;
        self.inner.stored_response(&self.key, &response, id_token).ok()?
    }

    /// Seals the access token that came with `id_token`; `None` if it is of no use to a server.
    fn sealed_access_token(
        &self,
        given: &GivenAccessToken,
        id_token: &GivenIdToken,
    ) -> Option<StoredAccessToken> {
        let GivenIdToken::Given(id_token) = id_token else {
            return None;
        };
        // The ID token is checked before anything of this is stored.
        let claims = Claims::read(id_token.expose_secret().as_bytes()).ok()?;
        given.check_form().ok()?;
        self.inner
            .sealed_access_token(&self.key, given, claims.exp_seconds)
            .ok()
    }

    /// Seals the refresh token that is stored next, if it is another one than the record holds.
    fn sealed_answer(
        &mut self,
        rotated: Option<&SecretString>,
        presented: &SecretString,
        record: Option<&GrantRecord>,
    ) -> Result<Option<StoredRefreshToken>, Transient> {
        let (is_rotated, unsealed) = (rotated.is_some(), rotated);
        // Without sealing it again, a token that the issuer never rotates would require an older sealing key
        // indefinitely.
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
                Ok(rotated)
            }
            Err(_) => Err(Transient {
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
            return Event::Examined(Err(Failure::misconfigured("the answer has no ID token")));
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

    /// Fingerprint of this attempt's newest refresh token.
    fn refresh_token<'a>(&'a self, record: &'a GrantRecord) -> Option<&'a str> {
        let stored = record
            .refresh_token
            .as_ref()
            .map(|token| token.fingerprint.as_str());
        self.rotated.as_deref().or(stored)
    }
}

/// The longest error response that is stored, in bytes.
const MAX_WORDS_BYTES: usize = 2048;

/// An error response (RFC 6749 §5.2) as it can be repeated to clients.
fn words_of(raw: &RawAnswer) -> Option<IssuerWords> {
    let is_error = serde_json::from_slice::<serde_json::Value>(&raw.body)
        .is_ok_and(|body| body.get("error").is_some_and(serde_json::Value::is_string));
    (is_error && raw.status >= 400 && raw.body.len() <= MAX_WORDS_BYTES).then(|| IssuerWords {
        status: raw.status,
        body: raw.body.clone(),
    })
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
