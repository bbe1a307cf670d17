//! Exchanges at remote issuers (RFC 8693, RFC 7523): one at a time for one token; the result is sealed and shared by all
//! replicas.

mod examine;
pub mod given;
mod pin;
pub mod record;
mod run;
pub mod standing;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use self::record::{ExchangeDecision, ExchangeKey, ExchangeRecord, decide, fresh};
use self::standing::Standing;
use crate::context::Context;
use crate::coordination::singleflight::{FlightOutcome, FlightStage, SingleFlight};
use crate::record::sealed;
use crate::refused::Refused;
use crate::store::{Expected, Revision, StoreError};
use crate::upstream::dialect::rules::SubjectKind;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::grant::record::GrantKey;
use crate::upstream::grant::{Grants, Served};
use crate::upstream::issuer::proven_tokens::TokenDigest;
use crate::upstream::issuer::{HomeIssuer, RemoteIssuer};
use crate::upstream::local_pauses::LocalPauses;
use crate::upstream::policy::Policy;

/// Name of the sealed field of a record.
const TOKEN_FIELD: &str = "exchanged_token";
/// Lifetime of a grant's set of exchanged tokens; must outlive every token in it.
const SET_LIFETIME: Duration = Duration::from_secs(31 * 24 * 3600);

/// Durations of [`Exchanges`].
#[derive(Debug, Clone, Copy)]
pub struct ExchangeTimes {
    /// Margin and intervals.
    pub policy: Policy,
    /// How long a caller waits for an exchange.
    pub caller_deadline: Duration,
    /// Lifetime of an exchange's lease: how long a dead process blocks the others. Renewed while the process lives.
    pub lease_lifetime: Duration,
    /// How long an exchange waits for a lease that another replica holds.
    pub lease_patience: Duration,
}

/// The input of an exchange.
#[derive(Debug, Clone)]
pub struct ExchangeRequest {
    /// The server's name, for metrics and logs.
    pub server: String,
    /// Audiences that the exchanged token must have.
    pub required_audiences: Vec<String>,
    /// The issuer that exchanges.
    pub remote: Arc<RemoteIssuer>,
    /// The grant of the user, whether or not there is a login: one of its tokens is exchanged, else the presented one.
    pub grant: GrantKey,
    /// The issuer that refreshes that token.
    pub home: Arc<HomeIssuer>,
    /// The caller's right to the grant.
    pub entitlement: Entitlement,
    /// Why the caller requests a token.
    pub reason: Reason,
    /// The presented token, whose subject has been verified.
    pub presented: PresentedToken,
}

/// A presented token that proves its subject.
#[derive(Debug, Clone)]
pub struct PresentedToken {
    /// The token.
    pub token: SecretString,
    /// Its digest.
    pub digest: TokenDigest,
    /// Its `exp`, Unix seconds.
    pub exp_seconds: u64,
    /// Who signed it.
    pub origin: TokenOrigin,
}

/// Who signed a presented token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenOrigin {
    /// The issuer of the login: it can be exchanged.
    Home,
    /// The server's own issuer, in an exchange that control made and gave ([`given`]): it cannot be exchanged again.
    Exchange,
    /// Our own authorization server: it stands for a session, and no issuer ever gets it.
    Own,
}

/// All exchanged tokens.
#[derive(Clone)]
pub struct Exchanges {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    grants: Grants,
    times: ExchangeTimes,
    flights: SingleFlight<Result<Served, Refused>>,
    pauses: LocalPauses,
}

/// A record as read.
struct VersionedExchange {
    revision: Revision,
    record: ExchangeRecord,
}

impl VersionedExchange {
    /// As it counts for a user with this standing.
    fn of(self, standing: Standing) -> Self {
        Self {
            revision: self.revision,
            record: standing.without_ended_token(self.record),
        }
    }
}

impl Exchanges {
    /// Exchanges of `grants`' tokens.
    #[must_use]
    pub fn new(context: Context, grants: Grants, times: ExchangeTimes) -> Self {
        Self {
            inner: Arc::new(Inner {
                context,
                grants,
                times,
                flights: SingleFlight::default(),
                pauses: LocalPauses::default(),
            }),
        }
    }

    /// The exchanged token for `request`.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn token(&self, request: ExchangeRequest) -> Result<Served, Refused> {
        let inner = &self.inner;
        let key = ExchangeKey::new(
            &request.grant,
            &request.remote.config,
            &request.required_audiences,
        );
        // The grant is read even if the token exists: a sign-out that was interrupted must still take effect.
        let (stored, grant) = tokio::join!(inner.read(&key), inner.grants.record(&request.grant));
        let (stored, grant) = (stored?, grant?);
        let standing = Standing::of(grant.as_ref(), request.entitlement);
        let now_ms = inner.context.clock.now_ms();
        let presented = &request.presented;
        let is_proof = is_fresh(presented.exp_seconds, inner.times.policy.margin, now_ms);
        let takes_access_token = request.remote.config.subject == SubjectKind::AccessToken;
        match standing {
            Standing::Ended => return Err(Refusal::UnknownSession.into()),
            Standing::Unregistered { .. } if !is_proof || presented.origin == TokenOrigin::Own => {
                return Err(Refusal::UnknownSession.into());
            }
            Standing::Unregistered { .. } if presented.origin == TokenOrigin::Home && takes_access_token => {
                return Err(Refused::new(Refusal::NotRegistered).because(
                    "this server's token is exchanged for the login's access token, which only a registered login has",
                ));
            }
            Standing::Unregistered { .. } | Standing::Registered => {}
        }
        let presented_exp_seconds = presented.exp_seconds;
        let served = self.served(&key, stored, request, standing).await?;
        Ok(standing.bounded(served, presented_exp_seconds))
    }

    /// The stored token, or that of a new exchange.
    async fn served(
        &self,
        key: &ExchangeKey,
        stored: Option<VersionedExchange>,
        request: ExchangeRequest,
        standing: Standing,
    ) -> Result<Served, Refused> {
        let inner = &self.inner;
        let stored = stored.map(|stored| stored.of(standing));
        let presented = &request.presented;
        if standing != Standing::Registered && presented.origin == TokenOrigin::Exchange {
            return inner.serve_newer(key, stored.as_ref(), &request).await;
        }
        let record = stored.as_ref().map(|stored| &stored.record);
        match decide(
            record,
            request.reason,
            &inner.times.policy,
            inner.context.clock.now_ms(),
        ) {
            ExchangeDecision::Serve => inner.serve(key, record),
            ExchangeDecision::Refuse(refused) => Err(refused),
            ExchangeDecision::Exchange => {
                let reason = request.reason;
                let result = match inner.pauses.check(key.digest(), inner.context.clock.now_ms()) {
                    Ok(()) => self.run(key, request, standing).await,
                    Err(refused) => Err(refused),
                };
                result.or_else(|refused| inner.fallback(key, record, reason, refused))
            }
        }
    }

    async fn run(
        &self,
        key: &ExchangeKey,
        request: ExchangeRequest,
        standing: Standing,
    ) -> Result<Served, Refused> {
        let inner = &self.inner;
        let outcome = inner
            .flights
            .join(key.digest(), inner.times.caller_deadline, |reporter| {
                run::run(Arc::clone(inner), key.clone(), request, standing, reporter)
            })
            .await;
        match outcome {
            FlightOutcome::Done(result) => result,
            FlightOutcome::Deadline(FlightStage::Issuer) | FlightOutcome::Lost => Err(Refusal::Busy.into()),
            FlightOutcome::Deadline(FlightStage::Store) => Err(Refusal::StoreUnavailable.into()),
        }
    }

    /// The stored record of the exchange `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(&self, key: &ExchangeKey) -> Result<Option<ExchangeRecord>, StoreError> {
        Ok(self.inner.read(key).await?.map(|stored| stored.record))
    }

    /// Deletes all tokens made from `grant`: remote issuers do not learn of a sign-out, so nothing else ends these
    /// tokens.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget(&self, grant: &GrantKey) -> Result<(), StoreError> {
        let store = &self.inner.context.store;
        for digest in store.members(&grant.exchanges()).await? {
            let key = ExchangeKey::from_digest(digest);
            store.delete(&key.record(), Expected::Any).await?;
            store.remove_member(&grant.exchanges(), key.digest()).await?;
        }
        Ok(())
    }

    /// Returns when no exchange is running.
    pub async fn finished(&self) {
        self.inner.flights.finished().await;
    }
}

impl Inner {
    async fn read(&self, key: &ExchangeKey) -> Result<Option<VersionedExchange>, StoreError> {
        let name = key.record();
        let Some(entry) = self.context.store.read(&name).await? else {
            return Ok(None);
        };
        Ok(Some(VersionedExchange {
            revision: entry.revision,
            record: ExchangeRecord::read(&name, &entry.value)?,
        }))
    }

    fn serve(&self, key: &ExchangeKey, record: Option<&ExchangeRecord>) -> Result<Served, Refused> {
        let record = record.ok_or(Refusal::Busy)?;
        let token = record.token.as_ref().ok_or(Refusal::Busy)?;
        Ok(Served {
            kind: record.kind(),
            token: sealed::open(&self.context.ring, &key.record(), TOKEN_FIELD, &token.sealed)?,
            exp_seconds: token.exp_seconds,
            usable_until_seconds: token.exp_seconds,
            audiences: Vec::new(),
        })
    }

    /// The token for a user without a login who presents an exchanged token: the stored one, if the aggregator has had a
    /// newer one made meanwhile. There is no home token that could be exchanged.
    async fn serve_newer(
        &self,
        key: &ExchangeKey,
        stored: Option<&VersionedExchange>,
        request: &ExchangeRequest,
    ) -> Result<Served, Refused> {
        let record = stored.map(|stored| &stored.record);
        let token = fresh(record, &self.times.policy, self.context.clock.now_ms());
        if token.is_some_and(|token| token.exp_seconds > request.presented.exp_seconds) {
            return self.serve(key, record);
        }
        // The aggregator's next exchange must not be answered with the rejected token.
        if let Some(stored) = stored.filter(|_| request.reason == Reason::Rejected) {
            let at = Expected::At(stored.revision);
            self.context.store.delete(&key.record(), at).await?;
        }
        Err(Refusal::UnknownSession.into())
    }

    /// As for grants: a failed renewal ahead of time loses nothing while the stored token is fresh.
    fn fallback(
        &self,
        key: &ExchangeKey,
        record: Option<&ExchangeRecord>,
        reason: Reason,
        refused: Refused,
    ) -> Result<Served, Refused> {
        let now_ms = self.context.clock.now_ms();
        let good = fresh(record, &self.times.policy, now_ms).is_some();
        if reason == Reason::NearExpiry && good && refused.refusal != Refusal::UnknownSession {
            self.serve(key, record)
        } else {
            Err(refused)
        }
    }
}
