//! One exchange: acquire the lease, read again, get a fresh subject token, call once, verify the result and store it.

use std::sync::Arc;

use secrecy::SecretString;
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;
use tokio::time::Instant;

use super::examine::{Examination, Examined};
use super::pin::Pinned;
use super::record::{
    ExchangeDecision, ExchangeKey, ExchangeRecord, ExchangedToken, decide, lifetime, of_streak,
};
use super::standing::Standing;
use super::{ExchangeRequest, Inner, SET_LIFETIME, TOKEN_FIELD, TokenOrigin, VersionedExchange};
use crate::coordination::lease::{self, LeaseQueue};
use crate::coordination::singleflight::{FlightStage, Reporter};
use crate::digest;
use crate::record::sealed;
use crate::refused::Refused;
use crate::store::{Expected, StoreError};
use crate::upstream::dialect::rules::SubjectKind;
use crate::upstream::failure::Failure;
use crate::upstream::grant::Served;
use crate::upstream::issuer::answer::exchange::ExchangeAnswer;
use crate::upstream::issuer::pace::Urgency;
use crate::upstream::renewal::is_never_fresh;
use crate::upstream::streak::{StreakKind, failed, jitter};
use crate::upstream::token_kind::TokenKind;

/// Exchanges for `key`, or waits for another replica that does.
///
/// # Errors
/// [`Refused`].
pub(super) async fn run(
    inner: Arc<Inner>,
    key: ExchangeKey,
    request: ExchangeRequest,
    standing: Standing,
    reporter: Arc<Reporter<Result<Served, Refused>>>,
) -> Result<Served, Refused> {
    let exchange = Exchange {
        inner,
        key,
        request,
        standing,
        reporter,
    };
    exchange.run().await
}

/// An exchange in progress.
struct Exchange {
    inner: Arc<Inner>,
    key: ExchangeKey,
    request: ExchangeRequest,
    /// When the request came.
    standing: Standing,
    reporter: Arc<Reporter<Result<Served, Refused>>>,
}

impl Exchange {
    async fn run(&self) -> Result<Served, Refused> {
        let lifetime = self.inner.times.lease_lifetime;
        let until = Instant::now() + self.inner.times.lease_patience;
        let mut queue = LeaseQueue::default();
        loop {
            let taken = lease::try_acquire(&self.inner.context.store, &self.key.lease(), lifetime).await?;
            if let Some(held) = taken {
                let result = self.run_under_lease().await;
                held.release().await;
                return result;
            }
            tokio::time::sleep(queue.next_wait()).await;
            if let (_, Some(result)) = self.read_and_decide().await? {
                return result;
            }
            if Instant::now() > until {
                return Err(Refusal::Busy.into());
            }
        }
    }

    async fn read_and_decide(
        &self,
    ) -> Result<(Option<VersionedExchange>, Option<Result<Served, Refused>>), Refused> {
        let stored = (self.inner.read(&self.key).await?).map(|stored| stored.of(self.standing));
        let record = stored.as_ref().map(|stored| &stored.record);
        let now_ms = self.inner.context.clock.now_ms();
        let settled = match decide(record, self.request.reason, &self.inner.times.policy, now_ms) {
            ExchangeDecision::Serve => Some(self.inner.serve(&self.key, record)),
            ExchangeDecision::Refuse(refused) => Some(Err(refused)),
            ExchangeDecision::Exchange => None,
        };
        Ok((stored, settled))
    }

    async fn run_under_lease(&self) -> Result<Served, Refused> {
        let (stored, settled) = self.read_and_decide().await?;
        if let Some(result) = settled {
            return result;
        }
        let subject = self.subject_token().await?;
        let request = &self.request;
        let examination = Examination {
            context: &self.inner.context,
            request,
            started_ms: self.inner.context.clock.now_ms(),
        };
        let answer = request
            .remote
            .exchange(
                &self.inner.context,
                (request.grant.digest(), Urgency::of(request.reason)),
                &subject,
            )
            .await
            .map_err(|throttled| throttled.refused(Refusal::ExchangeUnavailable))?;
        let outcome = match answer {
            ExchangeAnswer::Exchanged(answer) => {
                (examination.of(answer).await?).and_then(|examined| self.check_lifetime(examined))
            }
            ExchangeAnswer::Misconfigured(cause) => Err(Failure::misconfigured(cause)),
            ExchangeAnswer::Transient(transient) => Err(transient.into()),
        };
        // From here on the caller waits for the store only.
        self.reporter.stage(FlightStage::Store);
        match outcome {
            Ok(examined) => match self.check_subject(&examined).await? {
                Ok(()) => self.store_token(stored, examined).await,
                Err(failure) => self.record_failure(stored, failure).await,
            },
            Err(failure) => self.record_failure(stored, failure).await,
        }
    }

    /// RFC 8693 §2.2.1 leaves the subject to the issuer of the token. It must not change while the login lasts.
    async fn check_subject(&self, examined: &Examined) -> Result<Result<(), Failure>, Refused> {
        let request = &self.request;
        let Some(subject) = &examined.subject else {
            return Ok(Ok(()));
        };
        let pinned = self
            .inner
            .pin_subject(&self.key, &request.grant, self.standing, subject);
        match pinned.await? {
            Pinned::Same => Ok(Ok(())),
            Pinned::Other => {
                tracing::error!(
                    grant = digest::short(request.grant.digest()),
                    server = request.server,
                    issuer = request.remote.config.expected_issuer,
                    "ALARM: the remote issuer answered an exchange with a token of another subject than before; it is \
                     not served"
                );
                Ok(Err(Failure::new(
                    StreakKind::Substituted,
                    "the exchanged token is of another subject than the first one of this login; where the remote \
                     issuer has renamed the user, a new login is needed, and for a user without a registered login a \
                     sign-out or a day",
                )))
            }
        }
    }

    /// The token that is exchanged: the login's, refreshed if necessary.
    async fn subject_token(&self) -> Result<SecretString, Refused> {
        match self.request.remote.config.subject {
            SubjectKind::IdToken => self.id_token().await,
            SubjectKind::AccessToken => self.access_token().await,
        }
    }

    /// Only a login has an access token; the presented token is an ID token.
    async fn access_token(&self) -> Result<SecretString, Refused> {
        let request = &self.request;
        if self.standing != Standing::Registered {
            return Err(Refusal::UnknownSession.into());
        }
        let (grant, home) = (&request.grant, &request.home);
        let grants = &self.inner.grants;
        let served = grants.access_token(grant, home, Reason::Stale, request.entitlement);
        Ok(served.await?.token)
    }

    /// A home ID token that the remote issuer accepts: of a login the stored one or a refreshed one; else the presented one,
    /// while it is fresh.
    async fn id_token(&self) -> Result<SecretString, Refused> {
        let request = &self.request;
        let presented = &request.presented;
        let own = || {
            let now_ms = self.inner.context.clock.now_ms();
            let is_fresh = is_fresh(presented.exp_seconds, self.inner.times.policy.margin, now_ms);
            (presented.origin == TokenOrigin::Home && is_fresh).then(|| presented.token.clone())
        };
        if self.standing != Standing::Registered {
            return own().ok_or_else(|| Refusal::UnknownSession.into());
        }
        // The server rejected the exchanged token, which does not affect the home token.
        let stored = self
            .inner
            .grants
            .id_token(
                &request.grant,
                &request.home,
                Reason::Stale,
                presented.digest,
                request.entitlement,
            )
            .await;
        match stored {
            Ok(served) => Ok(served.token),
            Err(refused) if refused.refusal == Refusal::UnknownSession => Err(refused),
            Err(refused) => own().ok_or(refused),
        }
    }

    fn check_lifetime(&self, examined: Examined) -> Result<Examined, Failure> {
        let margin = self.inner.times.policy.margin;
        if !is_never_fresh(examined.exp_seconds, examined.issued_at_seconds, margin) {
            Ok(examined)
        } else {
            Err(Failure::misconfigured(
                "the exchanged token lives no longer than margin: lengthen the remote's tokens' life or shorten \
                 margin",
            ))
        }
    }

    async fn store_token(
        &self,
        stored: Option<VersionedExchange>,
        examined: Examined,
    ) -> Result<Served, Refused> {
        let now_ms = self.inner.context.clock.now_ms();
        let sealed = sealed::seal(
            &self.inner.context.ring,
            &self.key.record(),
            TOKEN_FIELD,
            &examined.token,
        )?;
        let token = ExchangedToken {
            sealed,
            exp_seconds: examined.exp_seconds,
            issued_at_seconds: examined.issued_at_seconds,
            made_at_ms: now_ms,
        };
        let record = ExchangeRecord {
            is_access_token: examined.kind == TokenKind::AccessToken,
            ..ExchangeRecord::of(Some(token), None)
        };
        let grant = &self.request.grant;
        let store = &self.inner.context.store;
        store
            .add_member(&grant.exchanges(), self.key.digest(), SET_LIFETIME)
            .await?;
        self.write(stored.as_ref(), &record).await?;
        // A sign-out during the call has already emptied the set.
        let record = self.inner.grants.record(grant).await?;
        let after = Standing::of(record.as_ref(), self.request.entitlement);
        if !self.standing.lasts_as(after) {
            store.delete(&self.key.record(), Expected::Any).await?;
            return Err(Refusal::UnknownSession.into());
        }
        self.count("exchanged");
        // Other replicas may use the token: only this replica's clock makes it stale.
        if !is_fresh(examined.exp_seconds, self.inner.times.policy.margin, now_ms) {
            return Err(self.inner.pauses.stale_on_arrival(self.key.digest(), now_ms));
        }
        Ok(Served {
            kind: examined.kind,
            token: examined.token,
            exp_seconds: examined.exp_seconds,
            usable_until_seconds: examined.exp_seconds,
            audiences: Vec::new(),
        })
    }

    async fn record_failure(
        &self,
        stored: Option<VersionedExchange>,
        failure: Failure,
    ) -> Result<Served, Refused> {
        let now_ms = self.inner.context.clock.now_ms();
        let before = stored.as_ref().map(|stored| &stored.record);
        let streak = failed(
            before.and_then(|record| record.failures),
            failure.kind,
            failure.retry_after,
            now_ms,
            jitter(),
        );
        // A rejected token is dropped even if no new one is available, so that it is never served again.
        let retains_token = self.request.reason != Reason::Rejected;
        let token = before
            .and_then(|record| record.token.clone())
            .filter(|_| retains_token);
        let record = ExchangeRecord {
            is_access_token: before.is_some_and(|record| record.is_access_token) && token.is_some(),
            ..ExchangeRecord::of(token, Some(streak))
        };
        self.write(stored.as_ref(), &record).await?;
        let mut refused = of_streak(&streak).retry_after(streak.wait(now_ms).unwrap_or_default());
        if refused.cause.is_empty() {
            refused = refused.because(failure.cause);
        }
        self.count(refused.refusal.name());
        Err(refused)
    }

    /// Under the lease there is no other writer; a conflict means that the lease was lost, and the other writer's
    /// result stands.
    async fn write(
        &self,
        stored: Option<&VersionedExchange>,
        record: &ExchangeRecord,
    ) -> Result<(), StoreError> {
        let bytes = record.to_bytes()?;
        let expected = stored.map_or(Expected::Absent, |stored| Expected::At(stored.revision));
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
                "another replica wrote this exchange first"
            );
        }
        Ok(())
    }

    fn count(&self, outcome: &'static str) {
        self.inner.context.metrics.exchange(&self.request.server, outcome);
    }
}
