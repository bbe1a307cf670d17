//! After the issuer's answer: what is kept of it, and what is told to those who wait.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use super::Served;
use super::commit::{Basis, Committed};
use super::decide::{is_fresh, is_hopeless, of_streak};
use super::record::{DeathReason, GrantKey, GrantRecord, GrantState, KeptIdToken, KeptRefreshToken};
use super::refresh::Flight;
use crate::digest;
use crate::issuer::keys::{KeyAge, Unverified};
use crate::refused::Refused;
use crate::streak::{StreakKind, failed, jitter};

/// How long a rotated refresh token is held in memory while the store does not answer.
const KEEP_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How long a mere note (a failure, a death) is tried: it can be found out again.
const NOTE_PATIENCE: Duration = Duration::from_secs(2);

impl Flight {
    pub(super) async fn refreshed(
        &self,
        record: &GrantRecord,
        mut basis: Basis,
        id_token: Option<SecretString>,
        rotated: Option<SecretString>,
    ) -> Result<Served, Refused> {
        if let Some(rotated) = rotated {
            let sealed = self.inner.sealed_refresh_token(&self.key, &rotated)?;
            basis.refresh_fingerprints.push(sealed.fingerprint.clone());
            let now_ms = self.inner.context.clock.now_ms();
            self.inner.rotations.rotated(&self.key, record, &sealed, now_ms);
            if let Committed::Superseded = self.keep_rotated(&basis, &sealed).await? {
                tracing::info!(
                    grant = digest::short(self.key.digest()),
                    "a refresh came back after a newer login or a sign-out and is dropped"
                );
                return self.settled_elsewhere().await;
            }
            basis.refresh_fingerprints = vec![sealed.fingerprint];
        }
        let Some(id_token) = id_token else {
            let cure = "the issuer refreshed without an ID token: the login must ask for the scope openid";
            return self
                .noted(record, &basis, StreakKind::Misconfigured, None, cure.to_owned())
                .await;
        };
        match self.fitting(record, &id_token).await {
            Ok(kept) => self.keep_id_token(&basis, kept, id_token).await,
            Err(cause) => {
                tracing::error!(
                    grant = digest::short(self.key.digest()),
                    issuer = self.issuer.config.issuer,
                    cause,
                    "ALARM: the issuer answered a refresh with another's token; the old ID token is kept"
                );
                self.noted(record, &basis, StreakKind::Substituted, None, cause.to_owned())
                    .await
            }
        }
    }

    async fn keep_rotated(&self, basis: &Basis, sealed: &KeptRefreshToken) -> Result<Committed, Refused> {
        let now_ms = self.inner.context.clock.now_ms();
        let committed = self
            .inner
            .change(&self.key)
            .apply(basis, KEEP_PATIENCE, &self.report, |record| {
                record.refresh_token = Some(sealed.clone());
                record.state = GrantState::Active;
                record.intent = None;
                record.refreshed_at_ms = Some(now_ms);
                record.last_used_at_ms = now_ms;
            })
            .await;
        committed.map_err(|error| {
            tracing::error!(
                grant = digest::short(self.key.digest()),
                %error,
                "a rotated refresh token could not be kept: the store did not answer for too long"
            );
            Refused::from(error)
        })
    }

    async fn keep_id_token(
        &self,
        basis: &Basis,
        kept: KeptIdToken,
        id_token: SecretString,
    ) -> Result<Served, Refused> {
        let exp_seconds = kept.exp_seconds;
        if let Some(current) = basis.refresh_fingerprints.last() {
            self.inner.rotations.renewed(&self.key, current, &kept);
        }
        let now_ms = self.inner.context.clock.now_ms();
        let committed = self
            .inner
            .change(&self.key)
            .apply(basis, KEEP_PATIENCE, &self.report, |record| {
                record.id_token = Some(kept.clone());
                record.state = GrantState::Active;
                record.failures = None;
                record.intent = None;
                record.refreshed_at_ms = Some(now_ms);
                record.last_used_at_ms = now_ms;
            })
            .await?;
        if let Committed::Superseded = committed {
            return self.settled_elsewhere().await;
        }
        self.count("refreshed");
        tracing::debug!(grant = digest::short(self.key.digest()), exp_seconds, "refreshed");
        if is_fresh(exp_seconds, self.inner.times.policy.margin, now_ms) {
            Ok(Served {
                token: id_token,
                exp_seconds,
            })
        } else {
            Err(Refused::new(Refusal::IssuerMisconfigured).because(
                "the issuer's new ID token lives no longer than margin: lengthen its tokens' life or shorten margin",
            ))
        }
    }

    /// OIDC Core §12.2: the same issuer and subject, and the audience of the login. Signature: by the issuer's keys;
    /// where those cannot be had, the TLS connection to the token endpoint stands for it (§3.1.3.7, 6).
    async fn fitting(&self, record: &GrantRecord, token: &SecretString) -> Result<KeptIdToken, &'static str> {
        let text = token.expose_secret();
        let claims = Claims::read(text.as_bytes()).map_err(|_| "not a JWT with iss, sub, aud and exp")?;
        let config = &self.issuer.config;
        if claims.issuer != config.issuer {
            return Err("another issuer");
        }
        if GrantKey::new(&claims.issuer, &config.client_id, &claims.subject) != self.key {
            return Err("another subject");
        }
        let before = record.id_token.as_ref().map_or(&[][..], |kept| &kept.audiences);
        if !claims.audiences.contains(&config.client_id) || !claims.covers_audiences(before) {
            return Err("another audience");
        }
        match self.issuer.keys.verify(text, KeyAge::Present).await {
            Ok(_) | Err(Unverified::KeysUnavailable { .. } | Unverified::StoreUnavailable) => {}
            Err(Unverified::Forged | Unverified::Malformed) => return Err("not signed by the issuer's keys"),
        }
        self.inner
            .sealed_id_token(&self.key, token, &claims)
            .map_err(|_| "it cannot be sealed")
    }

    /// `certain`: nobody else can hold a newer token.
    pub(super) async fn dead(
        &self,
        basis: &Basis,
        reason: DeathReason,
        certain: bool,
    ) -> Result<Served, Refused> {
        let now_ms = self.inner.context.clock.now_ms();
        let state = if certain {
            GrantState::Dead {
                reason,
                since_ms: now_ms,
            }
        } else {
            GrantState::Suspect { since_ms: now_ms }
        };
        let committed = self
            .inner
            .change(&self.key)
            .apply(basis, NOTE_PATIENCE, &self.report, |record| {
                record.state = state;
                record.intent = None;
                record.failures = None;
                record.last_used_at_ms = now_ms;
            })
            .await?;
        match committed {
            Committed::Superseded => self.settled_elsewhere().await,
            Committed::Done if certain => {
                self.count("dead");
                Err(Refused::new(Refusal::NeedsLogin).because(reason.says()))
            }
            Committed::Done => {
                self.count("suspect");
                Err(Refused::new(Refusal::IssuerUnavailable)
                    .because("another refresh of this login may still be under way")
                    .retry_after(self.inner.times.policy.suspect_wait))
            }
        }
    }

    /// Notes a failure that leaves the login as it is, or ends it when it has lasted too long.
    pub(super) async fn noted(
        &self,
        record: &GrantRecord,
        basis: &Basis,
        kind: StreakKind,
        asked: Option<Duration>,
        cause: String,
    ) -> Result<Served, Refused> {
        let now_ms = self.inner.context.clock.now_ms();
        let streak = failed(record.failures, kind, asked, now_ms, jitter());
        let hopeless = is_hopeless(&streak, &self.inner.times.policy, now_ms);
        let written = self
            .inner
            .change(&self.key)
            .apply(basis, NOTE_PATIENCE, &self.report, |record| {
                record.intent = None;
                record.failures = Some(streak);
                record.last_used_at_ms = now_ms;
                if hopeless {
                    record.state = GrantState::Dead {
                        reason: DeathReason::IssuerFailing,
                        since_ms: now_ms,
                    };
                }
            })
            .await;
        if let Ok(Committed::Superseded) = written {
            return self.settled_elsewhere().await;
        }
        let refused = if hopeless {
            Refused::new(Refusal::NeedsLogin).because(DeathReason::IssuerFailing.says())
        } else {
            let wait = streak.wait(now_ms).unwrap_or_default();
            of_streak(&streak).because(cause).retry_after(wait)
        };
        self.count(if hopeless { "dead" } else { refused.refusal.name() });
        Err(refused)
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.inner
            .context
            .metrics
            .refresh(&self.issuer.config.issuer, outcome);
    }
}
