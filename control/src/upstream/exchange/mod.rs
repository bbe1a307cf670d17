//! RFC 8693 exchanges at remote issuers: one at a time for one token, sealed, shared by all replicas.

mod make;
mod pin;
pub mod record;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use self::record::{Decision, ExchangeKey, ExchangeRecord, FORMAT, decide, fresh};
use crate::context::Context;
use crate::coordination::singleflight::{FlightOutcome, SingleFlight, Stage};
use crate::record::codec;
use crate::record::sealed;
use crate::refused::Refused;
use crate::store::{Expected, Revision, StoreError};
use crate::upstream::grant::decide::{Policy, Since};
use crate::upstream::grant::record::GrantKey;
use crate::upstream::grant::{Grants, Served};
use crate::upstream::issuer::{HomeIssuer, RemoteIssuer};
use crate::upstream::local_pauses::LocalPauses;

/// The sealed field of a record.
const TOKEN_FIELD: &str = "exchanged_token";
/// A grant's set of exchanged tokens must outlive every token in it.
const SET_LIFETIME: Duration = Duration::from_secs(31 * 24 * 3600);

/// Spans of time of [`Exchanges`].
#[derive(Debug, Clone, Copy)]
pub struct ExchangeTimes {
    /// Margin and intervals.
    pub policy: Policy,
    /// How long a caller waits for an exchange.
    pub caller_deadline: Duration,
    /// How long an exchange whose process died keeps the others waiting; renewed while it lives.
    pub lease_lifetime: Duration,
    /// How long an exchange waits for a lease that somebody else holds.
    pub lease_patience: Duration,
}

/// Everything that an exchange is made from.
#[derive(Debug, Clone)]
pub struct ExchangeRequest {
    /// The server's name, for metrics and logs.
    pub server: String,
    /// What the token must hold.
    pub required_audiences: Vec<String>,
    /// Where it is made.
    pub remote: Arc<RemoteIssuer>,
    /// Whose token is exchanged.
    pub grant: GrantKey,
    /// Who refreshes that token.
    pub home: Arc<HomeIssuer>,
    /// Since when the caller is let in.
    pub since: Since,
    /// Why the caller asks.
    pub reason: Reason,
    /// The presented token, whose subject is proven.
    pub presented: SecretString,
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
struct Versioned {
    revision: Revision,
    record: ExchangeRecord,
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

    /// The exchanged token of `order`.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn token(&self, order: ExchangeRequest) -> Result<Served, Refused> {
        let inner = &self.inner;
        let key = ExchangeKey::new(&order.grant, &order.remote.config, &order.required_audiences);
        // The grant is looked at even when the token is there: a sign-out that was cut short must hold all the same.
        let (kept, grant) = tokio::join!(inner.read(&key), inner.grants.is_known(&order.grant, order.since));
        let kept = kept?;
        if !grant? {
            return Err(Refusal::UnknownSession.into());
        }
        let record = kept.as_ref().map(|kept| &kept.record);
        let now_ms = inner.context.clock.now_ms();
        match decide(record, order.reason, &inner.times.policy, now_ms) {
            Decision::Serve => inner.serve(&key, record),
            Decision::Refuse(refused) => Err(refused),
            Decision::Exchange => {
                let reason = order.reason;
                let made = match inner.pauses.check(key.digest(), inner.context.clock.now_ms()) {
                    Ok(()) => self.made(&key, order).await,
                    Err(refused) => Err(refused),
                };
                made.or_else(|refused| inner.fallback(&key, record, reason, refused))
            }
        }
    }

    async fn made(&self, key: &ExchangeKey, order: ExchangeRequest) -> Result<Served, Refused> {
        let inner = &self.inner;
        let landed = inner
            .flights
            .join(key.digest(), inner.times.caller_deadline, |reporter| {
                make::make(Arc::clone(inner), key.clone(), order, reporter)
            })
            .await;
        match landed {
            FlightOutcome::Done(result) => result,
            FlightOutcome::Deadline(Stage::Asking) | FlightOutcome::Lost => Err(Refusal::Busy.into()),
            FlightOutcome::Deadline(Stage::Keeping) => Err(Refusal::StoreUnavailable.into()),
        }
    }

    /// What is kept of the exchange `key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(&self, key: &ExchangeKey) -> Result<Option<ExchangeRecord>, StoreError> {
        Ok(self.inner.read(key).await?.map(|kept| kept.record))
    }

    /// Forgets all tokens made from `grant`: the remotes know nothing of a sign-out, so nothing else ends them here.
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

    /// Waits until no exchange is under way.
    pub async fn landed(&self) {
        self.inner.flights.landed().await;
    }
}

impl Inner {
    async fn read(&self, key: &ExchangeKey) -> Result<Option<Versioned>, StoreError> {
        let name = key.record();
        let Some(entry) = self.context.store.read(&name).await? else {
            return Ok(None);
        };
        Ok(Some(Versioned {
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

    /// As for grants: a renewal ahead of time that failed loses nothing.
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
