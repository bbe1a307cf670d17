//! Carries out the steps of one [`Attempt`]: the only place where a refresh touches store and issuer.
//!
//! Runs in a task of its own ([`crate::coordination::singleflight`]), so that no caller's departure cancels a presentation: an issuer
//! that has rotated the token does not take that back because nobody waits any more.

use std::sync::Arc;

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;

use super::attempt::{Attempt, AttemptConfig, Event, Finished, Now, Seen, Step, Verdict};
use super::decide::{Want, is_fresh};
use super::lineage::ObservedLineage;
use super::record::{GrantKey, GrantRecord};
use super::{Inner, Served, Versioned};
use crate::config::IssuerPolicy;
use crate::coordination::lease::{self, Held};
use crate::coordination::singleflight::{Reporter, Stage};
use crate::digest;
use crate::failpoint;
use crate::refused::Refused;
use crate::store::{Expected, Outcome, Revision, StoreError};
use crate::upstream::issuer::revocation::RevokedToken;
use crate::upstream::issuer::{CallPermit, HomeIssuer};
use crate::upstream::streak::jitter;

type Report = Arc<Reporter<Result<Served, Refused>>>;

pub(super) async fn refresh(
    inner: Arc<Inner>,
    key: GrantKey,
    issuer: Arc<HomeIssuer>,
    want: Want,
    report: Report,
) -> Result<Served, Refused> {
    let mut attempt = Attempt::new(
        want,
        AttemptConfig {
            policy: inner.times.policy,
            issuer: issuer.config.policy,
            patience: inner.times.lease_patience,
        },
    );
    let (pauses, grant) = (Arc::clone(&inner.pauses), key.digest().to_owned());
    let mut hands = Driver {
        inner,
        key,
        issuer,
        held: None,
        ready: None,
        rotated: None,
        rotated_token: None,
        id_token: None,
    };
    let mut event = Event::Begun;
    loop {
        let at = Now {
            now_ms: hands.inner.context.clock.now_ms(),
            jitter: jitter(),
        };
        let step = attempt.next(event, at);
        report.stage(if attempt.is_held_up() {
            Stage::Keeping
        } else {
            Stage::Asking
        });
        event = match step {
            Step::Finish(finished) => {
                hands.remember(&attempt);
                let served = hands.finish(*finished).await?;
                // What another has brought meanwhile may be fresh.
                let margin = attempt.margin();
                if attempt.is_stale_on_arrival() && !is_fresh(served.exp_seconds, margin, at.now_ms) {
                    return Err(pauses.stale_on_arrival(&grant, at.now_ms));
                }
                return Ok(served);
            }
            step => hands.carry_out(step, &attempt).await,
        };
    }
}

/// Everything that an attempt holds on to between its steps.
pub(super) struct Driver {
    pub(super) inner: Arc<Inner>,
    pub(super) key: GrantKey,
    pub(super) issuer: Arc<HomeIssuer>,
    held: Option<Held>,
    pub(super) ready: Option<(CallPermit, SecretString)>,
    /// Fingerprint of the refresh token that the issuer gave.
    pub(super) rotated: Option<String>,
    /// That token.
    pub(super) rotated_token: Option<SecretString>,
    pub(super) id_token: Option<SecretString>,
}

impl Driver {
    async fn carry_out(&mut self, step: Step, attempt: &Attempt) -> Event {
        let place = attempt.place();
        match step {
            Step::TakeLease => {
                let event = self.take_lease().await;
                failpoint::reached("after", place);
                event
            }
            Step::ConfirmLease => Event::Ours(match &self.held {
                Some(held) => held.still_ours().await,
                None => false,
            }),
            Step::Wait(span) => {
                tokio::time::sleep(span).await;
                Event::Waited
            }
            Step::Read => self.read().await,
            Step::Introspect(token) => self.introspect(&token).await,
            Step::Write { at, record } => {
                failpoint::reached("before", place);
                let event = self.write(at, &record).await;
                let event = if place == "announce" {
                    self.on_the_same_line(event, attempt.line()).await
                } else {
                    event
                };
                failpoint::reached("after", place);
                if place == "put_back" && event == Event::Written {
                    self.tell_of_put_back();
                }
                event
            }
            Step::Prepare(token) => self.prepare(&token).await,
            Step::Present => {
                failpoint::reached("before", place);
                let event = self.present(attempt.record()).await;
                failpoint::reached("after", place);
                event
            }
            Step::Examine => self.examine(attempt.record()).await,
            // Handled by the caller; asking again is harmless.
            Step::Finish(_) => Event::Waited,
        }
    }

    async fn take_lease(&mut self) -> Event {
        let lifetime = self.inner.times.lease_lifetime;
        match lease::try_take(&self.inner.context.store, &self.key.lease(), lifetime).await {
            Ok(Some(held)) => {
                let holder = held.owner().0.clone();
                self.held = Some(held);
                Event::Leased(holder)
            }
            Ok(None) => Event::LeaseTaken,
            Err(error) => silent(&error),
        }
    }

    async fn read(&self) -> Event {
        match self.inner.read(&self.key).await {
            Ok(None) => Event::Read(None),
            Ok(Some(kept)) => match self.line().await {
                Ok(line) => Event::Read(Some(Box::new(self.known_of(kept, line)))),
                Err(error) => silent(&error),
            },
            Err(error) => silent(&error),
        }
    }

    /// The store's line of writes, where anything rests on it.
    async fn line(&self) -> Result<Option<ObservedLineage>, StoreError> {
        if self.issuer.config.policy == IssuerPolicy::Tolerant {
            return Ok(None);
        }
        let context = &self.inner.context;
        let name = context.store.lineage(&self.key.record()).await?;
        Ok(Some(
            self.inner.rotations.lineage.met(name, context.clock.now_ms()),
        ))
    }

    /// What was looked at may not be the newest any more where the announcement was written: then it must not count.
    async fn on_the_same_line(&self, written: Event, seen: Option<&ObservedLineage>) -> Event {
        if seen.is_none() || written != Event::Written {
            return written;
        }
        match self.line().await {
            Ok(line) if line.as_ref() == seen => written,
            Ok(_) => Event::StoreSilent,
            Err(error) => silent(&error),
        }
    }

    /// The record as read, with what this process knows better than the store.
    fn known_of(&self, kept: Versioned, line: Option<ObservedLineage>) -> Seen {
        let Versioned { revision, mut record } = kept;
        let (rotations, now_ms) = (&self.inner.rotations, self.inner.context.clock.now_ms());
        record.intent = record.intent.filter(|intent| !rotations.is_nothing(intent));
        let forgotten = rotations.after(&self.key, &record, now_ms).map(Box::new);
        let is_strict = self.issuer.config.policy == IssuerPolicy::Strict;
        Seen {
            revision,
            mark_met_ms: is_strict.then(|| rotations.marks.met(&record, now_ms)).flatten(),
            record,
            forgotten,
            line,
        }
    }

    fn remember(&self, attempt: &Attempt) {
        if let Some(held) = &self.held
            && attempt.came_to_nothing()
        {
            self.inner.rotations.came_to_nothing(&held.owner().0);
        }
    }

    fn tell_of_put_back(&self) {
        self.inner
            .context
            .metrics
            .refresh(&self.issuer.config.issuer, "put_back");
        tracing::warn!(
            grant = digest::short(self.key.digest()),
            "the store had lost the outcome of a refresh; it is put back"
        );
    }

    async fn write(&self, at: Revision, record: &GrantRecord) -> Event {
        match self.inner.write(&self.key, Expected::At(at), record).await {
            Ok(Outcome::Done(_)) => Event::Written,
            Ok(Outcome::Conflict(_)) => Event::Overtaken,
            Err(error) => silent(&error),
        }
    }

    async fn finish(mut self, finished: Finished) -> Result<Served, Refused> {
        if let Some(held) = self.held.take() {
            failpoint::reached("before", "release");
            held.release().await;
        }
        if let Some(outcome) = finished.outcome {
            self.inner
                .context
                .metrics
                .refresh(&self.issuer.config.issuer, outcome);
            self.tell(outcome);
        }
        // The user signed out while the issuer was asked: what it gave will never be presented.
        if let (Verdict::Refuse(refused), Some(token)) = (&finished.verdict, self.rotated_token.take())
            && refused.refusal == Refusal::UnknownSession
        {
            let config = &self.issuer.config;
            self.inner.revocations.revoke(RevokedToken {
                issuer: config.issuer.clone(),
                client_id: config.client_id.clone(),
                grant: self.key.digest().to_owned(),
                refresh_token: token,
            });
        }
        match finished.verdict {
            Verdict::Serve(record) => self.inner.serve(&self.key, &record),
            Verdict::Refuse(refused) => Err(refused),
        }
    }

    fn tell(&self, outcome: &'static str) {
        let grant = digest::short(self.key.digest());
        match outcome {
            "superseded" => tracing::info!(
                grant,
                "a refresh came back after a newer login, a sign-out or another refresh, and is dropped"
            ),
            "lost" => tracing::error!(
                grant,
                "a rotated refresh token could not be kept: the store did not answer for too long"
            ),
            _ => tracing::debug!(grant, outcome, "a refresh has ended"),
        }
    }
}

fn silent(error: &crate::store::StoreError) -> Event {
    // The engine's own words stay in the log: they can name hosts.
    tracing::debug!(%error, "store error");
    Event::StoreSilent
}
