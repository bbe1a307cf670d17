//! One exchange: lease, second look, a fresh subject, one call, and a result that is verified before it is kept.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;
use tokio::time::Instant;

use super::pin::Pinned;
use super::record::{
    Decision, ExchangeKey, ExchangeRecord, ExchangedToken, FORMAT, decide, lifetime, of_streak,
};
use super::{ExchangeRequest, Inner, SET_LIFETIME, TOKEN_FIELD, Versioned};
use crate::coordination::lease;
use crate::coordination::singleflight::Reporter;
use crate::digest;
use crate::record::codec;
use crate::record::sealed;
use crate::refused::Refused;
use crate::store::{Expected, StoreError};
use crate::upstream::grant::Served;
use crate::upstream::grant::decide::{is_fresh, is_never_fresh};
use crate::upstream::issuer::answer::ExchangeAnswer;
use crate::upstream::issuer::token_type::{IdTokenProfile, NotIdToken};
use crate::upstream::issuer::unverified::{AnswerUnverified, Unverified};
use crate::upstream::streak::{StreakKind, failed, jitter};

type Report = Arc<Reporter<Result<Served, Refused>>>;

pub(super) async fn make(
    inner: Arc<Inner>,
    key: ExchangeKey,
    order: ExchangeRequest,
    _report: Report,
) -> Result<Served, Refused> {
    let flight = Exchange { inner, key, order };
    flight.run().await
}

/// One exchange under way.
struct Exchange {
    inner: Arc<Inner>,
    key: ExchangeKey,
    order: ExchangeRequest,
}

/// A failure to be noted.
struct Failure {
    kind: StreakKind,
    asked: Option<Duration>,
    cause: String,
}

impl Failure {
    fn misconfigured(cause: impl Into<String>) -> Self {
        Self {
            kind: StreakKind::Misconfigured,
            asked: None,
            cause: cause.into(),
        }
    }
}

impl Exchange {
    async fn run(&self) -> Result<Served, Refused> {
        let lifetime = self.inner.times.lease_lifetime;
        let until = Instant::now() + self.inner.times.lease_patience;
        let mut wait = lease::FIRST_WAIT;
        loop {
            let taken = lease::try_take(&self.inner.context.store, &self.key.lease(), lifetime).await?;
            if let Some(held) = taken {
                let result = self.holding().await;
                held.release().await;
                return result;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(lease::LONGEST_WAIT);
            if let (_, Some(result)) = self.look().await? {
                return result;
            }
            if Instant::now() > until {
                return Err(Refusal::Busy.into());
            }
        }
    }

    async fn look(&self) -> Result<(Option<Versioned>, Option<Result<Served, Refused>>), Refused> {
        let kept = self.inner.read(&self.key).await?;
        let record = kept.as_ref().map(|kept| &kept.record);
        let now_ms = self.inner.context.clock.now_ms();
        let settled = match decide(record, self.order.reason, &self.inner.times.policy, now_ms) {
            Decision::Serve => Some(self.inner.serve(&self.key, record)),
            Decision::Refuse(refused) => Some(Err(refused)),
            Decision::Exchange => None,
        };
        Ok((kept, settled))
    }

    async fn holding(&self) -> Result<Served, Refused> {
        let (kept, settled) = self.look().await?;
        if let Some(result) = settled {
            return result;
        }
        let subject = self.fresh_subject().await?;
        let order = &self.order;
        let answer = order
            .remote
            .exchange(&self.inner.context, order.grant.digest(), &subject)
            .await
            .map_err(|held_back| held_back.refused(Refusal::ExchangeUnavailable))?;
        let outcome = match answer {
            ExchangeAnswer::Exchanged(token) => self.fitting(&token).await.map(|claims| (token, claims)),
            ExchangeAnswer::Misconfigured(cause) => Err(Failure::misconfigured(cause)),
            ExchangeAnswer::Transient(transient) => Err(Failure {
                kind: transient.kind,
                asked: transient.retry_after,
                cause: transient.cause,
            }),
        };
        match outcome {
            Ok((token, claims)) => match self.of_the_same_user(&claims).await? {
                Ok(()) => self.keep(kept, token, &claims).await,
                Err(failure) => self.note(kept, failure).await,
            },
            Err(failure) => self.note(kept, failure).await,
        }
    }

    /// RFC 8693 §2.2.1 leaves it to the issuer whose token it gives. It must not change while the login lasts.
    async fn of_the_same_user(&self, claims: &Claims) -> Result<Result<(), Failure>, Refused> {
        let order = &self.order;
        match self
            .inner
            .pinned(&self.key, &order.grant, &claims.subject)
            .await?
        {
            Pinned::Same => Ok(Ok(())),
            Pinned::Other => {
                tracing::error!(
                    grant = digest::short(order.grant.digest()),
                    server = order.server,
                    issuer = order.remote.config.expected_issuer,
                    "ALARM: the remote issuer answered an exchange with a token of another subject than before; it is \
                     not served"
                );
                Ok(Err(Failure {
                    kind: StreakKind::Substituted,
                    asked: None,
                    cause: "the exchanged token is of another subject than the first one of this login; where the \
                            remote issuer has renamed the user, a new login is needed"
                        .to_owned(),
                }))
            }
        }
    }

    /// What the remote issuer gave must be what was asked for: an ID token for the client that exchanges, or for the server's
    /// own audience.
    fn of_the_right_type(&self, token: &str) -> Result<(), Failure> {
        let client_id = &self.order.remote.config.client_id;
        let is_ours = |party: &str| {
            party == client_id
                || self
                    .order
                    .required_audiences
                    .iter()
                    .any(|audience| audience == party)
        };
        let now_ms = self.inner.context.clock.now_ms();
        IdTokenProfile::read(token)
            .and_then(|profile| {
                profile.is_issued_to(is_ours)?;
                profile.has_begun(now_ms)
            })
            .map_err(|not_id_token| {
                Failure::misconfigured(match not_id_token {
                    NotIdToken::OtherClient(party) => {
                        format!("the exchanged token was issued to the client {party:?} (azp), not to {client_id:?}")
                    }
                    other => format!("the exchanged token is not the ID token that was asked for: {other}"),
                })
            })
    }

    /// A home token that the remote will accept: the kept one, the presented one, or a refreshed one.
    async fn fresh_subject(&self) -> Result<SecretString, Refused> {
        let now_ms = self.inner.context.clock.now_ms();
        let margin = self.inner.times.policy.margin;
        let order = &self.order;
        // The server rejected the exchanged token; that says nothing against the home token.
        let kept = self
            .inner
            .grants
            .id_token(
                &order.grant,
                &order.home,
                Reason::Stale,
                &order.presented,
                order.since,
            )
            .await;
        match kept {
            Ok(served) => Ok(served.token),
            Err(refused) if refused.refusal == Refusal::UnknownSession => Err(refused),
            Err(refused) => match Claims::read(order.presented.expose_secret().as_bytes()) {
                Ok(claims) if is_fresh(claims.exp_seconds, margin, now_ms) => Ok(order.presented.clone()),
                _ => Err(refused),
            },
        }
    }

    async fn fitting(&self, token: &SecretString) -> Result<Claims, Failure> {
        let config = &self.order.remote.config;
        let text = token.expose_secret();
        let claims = Claims::read(text.as_bytes()).map_err(|why| {
            let AnswerUnverified { kind, asked, cause } =
                Unverified::Malformed(why).of_answer("the exchanged token");
            let cause = format!("{cause} ({} bytes)", text.len());
            Failure { kind, asked, cause }
        })?;
        if claims.issuer != config.expected_issuer {
            return Err(Failure::misconfigured(format!(
                "the remote issuer calls itself {:?}, expected is {:?}: set expectedIssuer",
                claims.issuer.chars().take(200).collect::<String>(),
                config.expected_issuer
            )));
        }
        if let Some(missing) = self
            .order
            .required_audiences
            .iter()
            .find(|audience| !claims.audiences.contains(audience))
        {
            return Err(Failure::misconfigured(format!(
                "the exchanged token lacks the required audience {missing:?}: let that client trust {:?} at the \
                 remote issuer (trustedPeers)",
                config.client_id
            )));
        }
        self.of_the_right_type(text)?;
        match self.order.remote.keys.verify_answer(text).await {
            Ok(claims) => self.long_enough(claims),
            Err(unverified) => {
                let AnswerUnverified { kind, asked, cause } = unverified.of_answer("the exchanged token");
                let hint = match kind {
                    StreakKind::Substituted => ": check expectedIssuer and jwksUri",
                    _ => "",
                };
                let cause = format!("{cause}{hint}");
                Err(Failure { kind, asked, cause })
            }
        }
    }

    fn long_enough(&self, claims: Claims) -> Result<Claims, Failure> {
        let margin = self.inner.times.policy.margin;
        if !is_never_fresh(claims.exp_seconds, claims.issued_at_seconds, margin) {
            Ok(claims)
        } else {
            Err(Failure::misconfigured(
                "the exchanged token lives no longer than margin: lengthen the remote's tokens' life or shorten \
                 margin",
            ))
        }
    }

    async fn keep(
        &self,
        kept: Option<Versioned>,
        token: SecretString,
        claims: &Claims,
    ) -> Result<Served, Refused> {
        let now_ms = self.inner.context.clock.now_ms();
        let sealed = sealed::seal(&self.inner.context.ring, &self.key.record(), TOKEN_FIELD, &token)?;
        let record = ExchangeRecord {
            format: FORMAT,
            token: Some(ExchangedToken {
                sealed,
                exp_seconds: claims.exp_seconds,
                issued_at_seconds: claims.issued_at_seconds,
                made_at_ms: now_ms,
            }),
            failures: None,
        };
        let grant = &self.order.grant;
        let store = &self.inner.context.store;
        store
            .add_member(&grant.exchanges(), self.key.digest(), SET_LIFETIME)
            .await?;
        self.write(kept.as_ref(), &record).await?;
        // A sign-out that came while the remote was asked has already emptied the set.
        if !self.inner.grants.is_known(grant, self.order.since).await? {
            store.delete(&self.key.record(), Expected::Any).await?;
            return Err(Refusal::UnknownSession.into());
        }
        self.count("exchanged");
        // The others may use it; that it is of no use here is for this replica's clock to answer for.
        if !is_fresh(claims.exp_seconds, self.inner.times.policy.margin, now_ms) {
            return Err(self.inner.pauses.stale_on_arrival(self.key.digest(), now_ms));
        }
        Ok(Served {
            token,
            exp_seconds: claims.exp_seconds,
            audiences: Vec::new(),
        })
    }

    async fn note(&self, kept: Option<Versioned>, failure: Failure) -> Result<Served, Refused> {
        let now_ms = self.inner.context.clock.now_ms();
        let before = kept.as_ref().map(|kept| &kept.record);
        let streak = failed(
            before.and_then(|record| record.failures),
            failure.kind,
            failure.asked,
            now_ms,
            jitter(),
        );
        // A rejected token is dropped even when no new one can be had: nobody shall be handed it again.
        let keeps_token = self.order.reason != Reason::Rejected;
        let record = ExchangeRecord {
            format: FORMAT,
            token: before
                .and_then(|record| record.token.clone())
                .filter(|_| keeps_token),
            failures: Some(streak),
        };
        self.write(kept.as_ref(), &record).await?;
        let mut refused = of_streak(&streak).retry_after(streak.wait(now_ms).unwrap_or_default());
        if refused.cause.is_empty() {
            refused = refused.because(failure.cause);
        }
        self.count(refused.refusal.name());
        Err(refused)
    }

    /// Under the lease nobody else writes; a lost race means the lease was lost, and the other's result counts.
    async fn write(&self, kept: Option<&Versioned>, record: &ExchangeRecord) -> Result<(), StoreError> {
        let bytes = codec::encode("serialize exchange", record)?;
        let expected = kept.map_or(Expected::Absent, |kept| Expected::At(kept.revision));
        let lifetime = lifetime(record, self.inner.context.clock.now_ms());
        let outcome = self
            .inner
            .context
            .store
            .write(&self.key.record(), expected, &bytes, Some(lifetime))
            .await?;
        if let crate::store::WriteOutcome::Conflict(_) = outcome {
            tracing::debug!(
                exchange = digest::short(self.key.digest()),
                "another replica has written this exchange meanwhile"
            );
        }
        Ok(())
    }

    fn count(&self, outcome: &'static str) {
        self.inner.context.metrics.exchange(&self.order.server, outcome);
    }
}
