//! RFC 8693 exchanges at remote issuers: one at a time for one token; the result is sealed and shared by all replicas.

mod pin;
pub mod record;
mod run;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use self::record::{ExchangeDecision, ExchangeKey, ExchangeRecord, FORMAT, decide, fresh};
use crate::context::Context;
use crate::coordination::singleflight::{FlightOutcome, FlightStage, SingleFlight};
use crate::record::codec;
use crate::record::sealed;
use crate::refused::Refused;
use crate::store::{Expected, Revision, StoreError};
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
    /// The grant whose ID token is exchanged.
    pub grant: GrantKey,
    /// The issuer that refreshes that ID token.
    pub home: Arc<HomeIssuer>,
    /// The caller's right to the grant.
    pub entitlement: Entitlement,
    /// Why the caller requests a token.
    pub reason: Reason,
    /// The presented token, whose subject has been verified.
    pub presented: SecretString,
    /// Digest of the presented token.
    pub presented_digest: TokenDigest,
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

impl Exchanges {
    /// Exchanges of `grants`' ID tokens.
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
        let (stored, grant) = tokio::join!(
            inner.read(&key),
            inner.grants.is_known(&request.grant, request.entitlement)
        );
        let stored = stored?;
        if !grant? {
            return Err(Refusal::UnknownSession.into());
        }
        let record = stored.as_ref().map(|stored| &stored.record);
        let now_ms = inner.context.clock.now_ms();
        match decide(record, request.reason, &inner.times.policy, now_ms) {
            ExchangeDecision::Serve => inner.serve(&key, record),
            ExchangeDecision::Refuse(refused) => Err(refused),
            ExchangeDecision::Exchange => {
                let reason = request.reason;
                let result = match inner.pauses.check(key.digest(), inner.context.clock.now_ms()) {
                    Ok(()) => self.run(&key, request).await,
                    Err(refused) => Err(refused),
                };
                result.or_else(|refused| inner.fallback(&key, record, reason, refused))
            }
        }
    }

    async fn run(&self, key: &ExchangeKey, request: ExchangeRequest) -> Result<Served, Refused> {
        let inner = &self.inner;
        let outcome = inner
            .flights
            .join(key.digest(), inner.times.caller_deadline, |reporter| {
                run::run(Arc::clone(inner), key.clone(), request, reporter)
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
            record: codec::decode(FORMAT, &name, &entry.value)?,
        }))
    }

    fn serve(&self, key: &ExchangeKey, record: Option<&ExchangeRecord>) -> Result<Served, Refused> {
        let token = record
            .and_then(|record| record.token.as_ref())
            .ok_or(Refusal::Busy)?;
        Ok(Served {
            token: sealed::open(&self.context.ring, &key.record(), TOKEN_FIELD, &token.sealed)?,
            exp_seconds: token.exp_seconds,
            audiences: Vec::new(),
        })
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
