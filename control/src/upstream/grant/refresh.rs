//! Executes the steps of one [`Attempt`]: the only place where a refresh uses the store and the issuer.
//!
//! Runs in a task of its own ([`crate::coordination::singleflight`]), so that no client's disconnect cancels a
//! presentation: the issuer does not undo a rotation because no caller waits for it.

use std::sync::Arc;

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;

use super::Inner;
use super::access::decoded;
use super::attempt::{Attempt, AttemptConfig, Event, Finished, Now, ObservedGrant, Step, Verdict};
use super::decide::Want;
use super::lineage::ObservedLineage;
use super::record::{GrantKey, GrantRecord, VersionedGrant};
use super::relayed::IssuerWords;
use crate::config::IssuerPolicy;
use crate::coordination::lease::{self, HeldLease};
use crate::coordination::singleflight::{FlightStage, Reporter};
use crate::digest;
use crate::failpoint;
use crate::refused::Refused;
use crate::store::{Expected, Revision, StoreError, WriteOutcome};
use crate::upstream::issuer::revocation::RevokedToken;
use crate::upstream::issuer::{CallPermit, HomeIssuer};
use crate::upstream::streak::jitter;

/// The result of one flight, for all callers that waited for it.
pub(super) type Flown = Result<Refreshed, NotRefreshed>;

type Report = Arc<Reporter<Flown>>;

/// What a flight found or made.
#[derive(Debug, Clone)]
pub(super) struct Refreshed {
    pub(super) record: Arc<GrantRecord>,
    /// Whether the flight itself refreshed it. If not, it judged the record for the caller that started it, who may have
    /// wanted something else.
    pub(super) is_new: bool,
    /// Whether the new ID token is stale by this replica's clock, though it lives longer than the margin.
    pub(super) is_stale_on_arrival: bool,
}

/// Why a flight brought nothing.
#[derive(Debug, Clone)]
pub(crate) struct NotRefreshed {
    /// The refusal.
    pub(crate) refused: Refused,
    /// The issuer's own error response, if this flight received one.
    pub(crate) words: Option<IssuerWords>,
}

impl<R: Into<Refused>> From<R> for NotRefreshed {
    fn from(refused: R) -> Self {
        Self {
            refused: refused.into(),
            words: None,
        }
    }
}

pub(super) async fn refresh(
    inner: Arc<Inner>,
    key: GrantKey,
    issuer: Arc<HomeIssuer>,
    want: Want,
    report: Report,
) -> Flown {
    let mut attempt = Attempt::new(
        want,
        AttemptConfig {
            policy: inner.times.policy,
            issuer: issuer.config.policy,
            patience: inner.times.lease_patience,
        },
    );
    let mut driver = Driver {
        inner,
        key,
        issuer,
        lease: None,
        ready: None,
        rotated: None,
        rotated_token: None,
        id_token: None,
        words: None,
    };
    let mut event = Event::Started;
    loop {
        let at = Now {
            now_ms: driver.inner.context.clock.now_ms(),
            jitter: jitter(),
        };
        let step = attempt.next(event, at);
        report.stage(if attempt.is_waiting_for_store() {
            FlightStage::Store
        } else {
            FlightStage::Issuer
        });
        event = match step {
            Step::Finish(finished) => {
                driver.remember_unconsumed(&attempt);
                let issuer = driver.issuer.config.issuer.as_str();
                (driver.inner).record_failed_refresh(&driver.key, issuer, attempt.record(), &finished);
                let is_new = finished.outcome == Some("refreshed");
                let record = driver.finish(*finished).await?;
                return Ok(Refreshed {
                    record: Arc::new(record),
                    is_new,
                    is_stale_on_arrival: attempt.is_stale_on_arrival(),
                });
            }
            step => driver.execute(step, &attempt).await,
        };
    }
}

/// The resources of an attempt between its steps.
pub(super) struct Driver {
    pub(super) inner: Arc<Inner>,
    pub(super) key: GrantKey,
    pub(super) issuer: Arc<HomeIssuer>,
    lease: Option<HeldLease>,
    pub(super) ready: Option<(CallPermit, SecretString)>,
    /// Fingerprint of the refresh token that the issuer issued.
    pub(super) rotated: Option<String>,
    /// That token.
    pub(super) rotated_token: Option<SecretString>,
    pub(super) id_token: Option<SecretString>,
    /// The issuer's error response, for clients of the relay.
    pub(super) words: Option<IssuerWords>,
}

impl Driver {
    async fn execute(&mut self, step: Step, attempt: &Attempt) -> Event {
        let stage_name = attempt.stage_name();
        match step {
            Step::TakeLease => {
                let event = self.take_lease().await;
                failpoint::reached("after", stage_name);
                event
            }
            Step::ConfirmLease => Event::LeaseConfirmed(match &self.lease {
                Some(lease) => lease.confirm().await,
                None => false,
            }),
            Step::Wait(span) => {
                tokio::time::sleep(span).await;
                Event::Waited
            }
            Step::Read => self.read().await,
            Step::Introspect(token) => self.introspect(&token).await,
            Step::Write { at, record } => {
                failpoint::reached("before", stage_name);
                let event = self.write(at, &record).await;
                let event = if stage_name == "announce" {
                    self.on_same_lineage(event, attempt.lineage()).await
                } else {
                    event
                };
                failpoint::reached("after", stage_name);
                if stage_name == "restore" && matches!(event, Event::Written(_)) {
                    self.log_restored();
                }
                event
            }
            Step::Prepare(token) => self.prepare(&token, attempt.urgency()).await,
            Step::Present => {
                failpoint::reached("before", stage_name);
                let event = self.present(attempt.record()).await;
                failpoint::reached("after", stage_name);
                event
            }
            Step::Examine => self.examine(attempt.record()).await,
            // The caller handles this step.
            Step::Finish(_) => Event::Waited,
        }
    }

    async fn take_lease(&mut self) -> Event {
        let lifetime = self.inner.times.lease_lifetime;
        match lease::try_acquire(&self.inner.context.store, &self.key.lease(), lifetime).await {
            Ok(Some(lease)) => {
                let holder = lease.owner().0.clone();
                self.lease = Some(lease);
                Event::LeaseAcquired(holder)
            }
            Ok(None) => Event::LeaseHeld,
            Err(error) => store_failed(&error),
        }
    }

    async fn read(&self) -> Event {
        match self.inner.read(&self.key).await {
            Ok(None) => Event::Read(None),
            Ok(Some(stored)) => match self.observe_lineage().await {
                Ok(lineage) => Event::Read(Some(Box::new(self.observe(stored, lineage)))),
                Err(error) => store_failed(&error),
            },
            Err(error) => store_failed(&error),
        }
    }

    /// The store's lineage, where decisions rest on it.
    async fn observe_lineage(&self) -> Result<Option<ObservedLineage>, StoreError> {
        if self.issuer.config.policy == IssuerPolicy::Tolerant {
            return Ok(None);
        }
        let context = &self.inner.context;
        let name = context.store.lineage(&self.key.record()).await?;
        Ok(Some(
            self.inner
                .rotations
                .lineages
                .observe(name, context.clock.now_ms()),
        ))
    }

    /// The record that was read may not be the newest on the lineage of the announcement; the announcement then counts
    /// as failed.
    async fn on_same_lineage(&self, written: Event, observed: Option<&ObservedLineage>) -> Event {
        if observed.is_none() || !matches!(written, Event::Written(_)) {
            return written;
        }
        match self.observe_lineage().await {
            Ok(lineage) if lineage.as_ref() == observed => written,
            Ok(_) => Event::StoreFailed,
            Err(error) => store_failed(&error),
        }
    }

    /// The record as read, with what this process knows better than the store.
    fn observe(&self, stored: VersionedGrant, lineage: Option<ObservedLineage>) -> ObservedGrant {
        let (VersionedGrant { revision, record }, intent_observed_ms) = self.corrected(stored);
        let now_ms = self.inner.context.clock.now_ms();
        let lost_rotation = self.inner.rotations.lost_by_store(&self.key, &record, now_ms);
        ObservedGrant {
            revision,
            intent_observed_ms,
            record,
            lost_rotation: lost_rotation.map(Box::new),
            lineage,
        }
    }

    /// The record without an announcement that is known to have used up no token. For `strict` issuers also since when
    /// this process has known the remaining one, Unix ms.
    fn corrected(&self, mut stored: VersionedGrant) -> (VersionedGrant, Option<u64>) {
        let (rotations, record) = (&self.inner.rotations, &mut stored.record);
        record.intent = record
            .intent
            .take()
            .filter(|intent| !rotations.is_unconsumed(intent));
        let observed_ms = match self.issuer.config.policy {
            IssuerPolicy::Strict => rotations
                .intents
                .observe(record, self.inner.context.clock.now_ms()),
            IssuerPolicy::Tolerant => None,
        };
        (stored, observed_ms)
    }

    fn remember_unconsumed(&self, attempt: &Attempt) {
        if let Some(lease) = &self.lease
            && attempt.consumed_nothing()
        {
            self.inner.rotations.note_unconsumed(&lease.owner().0);
        }
    }

    fn log_restored(&self) {
        self.inner
            .context
            .metrics
            .refresh(&self.issuer.config.issuer, "put_back");
        tracing::warn!(
            grant = digest::short(self.key.digest()),
            "the store had lost the outcome of a refresh; it is restored"
        );
    }

    async fn write(&self, at: Revision, record: &GrantRecord) -> Event {
        match self.inner.write(&self.key, Expected::At(at), record).await {
            Ok(WriteOutcome::Done(revision)) => Event::Written(revision),
            Ok(WriteOutcome::Conflict(None)) => Event::Conflict(None),
            Ok(WriteOutcome::Conflict(Some(entry))) => match decoded(&self.key, &entry) {
                Ok(stored) => Event::Conflict(Some(Box::new(self.corrected(stored).0))),
                Err(unreadable) => store_failed(&unreadable.error),
            },
            Err(error) => store_failed(&error),
        }
    }

    async fn finish(mut self, finished: Finished) -> Result<GrantRecord, NotRefreshed> {
        if let Some(lease) = self.lease.take() {
            failpoint::reached("before", "release");
            lease.release().await;
        }
        if let Some(outcome) = finished.outcome {
            self.inner
                .context
                .metrics
                .refresh(&self.issuer.config.issuer, outcome);
            self.log_outcome(outcome);
        }
        // The user signed out during the call: the new token will never be presented, so it is revoked.
        if let (Verdict::Refuse(refused), Some(token)) = (&finished.verdict, self.rotated_token.take())
            && refused.refusal == Refusal::UnknownSession
        {
            let config = &self.issuer.config;
            let token = RevokedToken {
                issuer: config.issuer.clone(),
                client_id: config.client_id.clone(),
                grant: self.key.digest().to_owned(),
                refresh_token: token,
            };
            self.inner.give_back_late(&self.key, token).await;
        }
        match finished.verdict {
            Verdict::Serve(record) => Ok(*record),
            Verdict::Refuse(refused) => Err(NotRefreshed {
                refused,
                words: self.words,
            }),
        }
    }

    fn log_outcome(&self, outcome: &'static str) {
        let grant = digest::short(self.key.digest());
        match outcome {
            "superseded" => tracing::info!(
                grant,
                "the result of a refresh came after a newer login, a sign-out or another refresh, and is dropped"
            ),
            "lost" => tracing::error!(
                grant,
                "a rotated refresh token could not be stored: the store did not answer for too long"
            ),
            _ => tracing::debug!(grant, outcome, "a refresh has ended"),
        }
    }
}

fn store_failed(error: &crate::store::StoreError) -> Event {
    // Logged only: the engine's message can name hosts.
    tracing::debug!(%error, "store error");
    Event::StoreFailed
}
