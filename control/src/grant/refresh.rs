//! Carries out the steps of one [`Attempt`]: the only place where a refresh touches store and issuer.
//!
//! Runs in a task of its own ([`crate::flight`]), so that no caller's departure cancels a presentation: an issuer
//! that has rotated the token does not take that back because nobody waits any more.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::refusal::Refusal;

use super::attempt::{Answer, Attempt, Event, Failure, Finished, Moment, Seen, Step, Terms, Verdict};
use super::decide::Want;
use super::examine::note_unfit;
use super::lines::Line;
use super::record::{GrantKey, GrantRecord, KeptRefreshToken, REFRESH_TOKEN_FIELD};
use super::{Inner, Kept, Served};
use crate::config::IssuerPolicy;
use crate::digest;
use crate::failpoint;
use crate::flight::{Reporter, Stage};
use crate::issuer::answer::{RefreshAnswer, Transient};
use crate::issuer::{HomeIssuer, Leave, NoLeave};
use crate::lease::{self, Held};
use crate::refused::Refused;
use crate::sealed;
use crate::store::{Expected, Outcome, Revision, StoreError};
use crate::streak::{StreakKind, jitter};

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
        Terms {
            policy: inner.times.policy,
            issuer: issuer.config.policy,
            patience: inner.times.lease_patience,
        },
    );
    let mut hands = Hands {
        inner,
        key,
        issuer,
        held: None,
        ready: None,
        rotated: None,
        id_token: None,
    };
    let mut event = Event::Begun;
    loop {
        let at = Moment {
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
                return hands.finish(*finished).await;
            }
            step => hands.carry_out(step, &attempt).await,
        };
    }
}

/// Everything that an attempt holds on to between its steps.
struct Hands {
    inner: Arc<Inner>,
    key: GrantKey,
    issuer: Arc<HomeIssuer>,
    held: Option<Held>,
    ready: Option<(Leave, SecretString)>,
    /// Fingerprint of the refresh token that the issuer gave.
    rotated: Option<String>,
    id_token: Option<SecretString>,
}

impl Hands {
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
    async fn line(&self) -> Result<Option<Line>, StoreError> {
        if self.issuer.config.policy == IssuerPolicy::Tolerant {
            return Ok(None);
        }
        let context = &self.inner.context;
        let name = context.store.lineage(&self.key.record()).await?;
        Ok(Some(self.inner.rotations.lines.met(name, context.clock.now_ms())))
    }

    /// What was looked at may not be the newest any more where the announcement was written: then it must not count.
    async fn on_the_same_line(&self, written: Event, seen: Option<&Line>) -> Event {
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
    fn known_of(&self, kept: Kept, line: Option<Line>) -> Seen {
        let Kept { revision, mut record } = kept;
        let (rotations, now_ms) = (&self.inner.rotations, self.inner.context.clock.now_ms());
        record.intent = record.intent.filter(|intent| !rotations.is_nothing(intent));
        let forgotten = rotations.after(&self.key, &record, now_ms).map(Box::new);
        Seen {
            revision,
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

    fn opened(&self, token: &KeptRefreshToken) -> Result<SecretString, StoreError> {
        let ring = &self.inner.context.ring;
        sealed::open(ring, &self.key.record(), REFRESH_TOKEN_FIELD, &token.sealed)
    }

    async fn introspect(&self, token: &KeptRefreshToken) -> Event {
        let token = match self.opened(token) {
            Ok(token) => token,
            Err(error) => return Event::NotReady(error.into()),
        };
        let context = &self.inner.context;
        match self.issuer.introspect(context, self.key.digest(), &token).await {
            Ok(introspected) => Event::Introspected(introspected),
            Err(no_leave) => without(no_leave),
        }
    }

    async fn prepare(&mut self, token: &KeptRefreshToken) -> Event {
        let token = match self.opened(token) {
            Ok(token) => token,
            Err(error) => return Event::NotReady(error.into()),
        };
        match self.issuer.leave(&self.inner.context, self.key.digest()).await {
            Ok(leave) => {
                self.ready = Some((leave, token));
                Event::Ready
            }
            Err(no_leave) => without(no_leave),
        }
    }

    async fn present(&mut self, record: Option<&GrantRecord>) -> Event {
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
                self.id_token = id_token;
                self.refreshed(rotated.as_ref(), &presented, record)
            }
            RefreshAnswer::Dead(death) => Answer::Dead(death),
            RefreshAnswer::Misconfigured(cause) => Answer::Misconfigured(cause),
            RefreshAnswer::Transient(passing) => Answer::Transient(passing),
        })
    }

    fn refreshed(
        &mut self,
        rotated: Option<&SecretString>,
        presented: &SecretString,
        record: Option<&GrantRecord>,
    ) -> Answer {
        let is_rotated = rotated.is_some();
        // A token that is never rotated would keep an older sealing key needed for ever.
        let sealed = rotated
            .or_else(|| self.is_sealed_anew(record).then_some(presented))
            .map(|token| self.inner.sealed_refresh_token(&self.key, token))
            .transpose();
        match sealed {
            Ok(rotated) => {
                if let (Some(token), Some(record), true) = (&rotated, record, is_rotated) {
                    let now_ms = self.inner.context.clock.now_ms();
                    self.inner.rotations.rotated(&self.key, record, token, now_ms);
                    self.rotated = Some(token.fingerprint.clone());
                }
                Answer::Refreshed {
                    rotated,
                    id_token: self.id_token.is_some(),
                }
            }
            Err(_) => Answer::Transient(Transient {
                perhaps_done: true,
                cause: "the new refresh token could not be sealed".to_owned(),
                ..not_presented()
            }),
        }
    }

    /// Whether the kept refresh token is sealed by an older key.
    fn is_sealed_anew(&self, record: Option<&GrantRecord>) -> bool {
        let kept = record.and_then(|record| record.refresh_token.as_ref());
        kept.is_some_and(|token| !sealed::is_current(&self.inner.context.ring, &token.sealed))
    }

    async fn examine(&self, record: Option<&GrantRecord>) -> Event {
        let (Some(token), Some(record)) = (&self.id_token, record) else {
            return Event::Examined(Err(Failure::misconfigured("there is none")));
        };
        let examined = self.inner.examined(&self.key, &self.issuer, record, token).await;
        if let Err(failure) = &examined {
            note_unfit(&self.key, &self.issuer, failure);
        }
        if let (Ok(token), Some(fingerprint)) = (&examined, self.refresh_token(record)) {
            self.inner.rotations.renewed(&self.key, fingerprint, token);
        }
        Event::Examined(examined)
    }

    /// Fingerprint of the newest refresh token of this attempt.
    fn refresh_token<'a>(&'a self, record: &'a GrantRecord) -> Option<&'a str> {
        let kept = record
            .refresh_token
            .as_ref()
            .map(|token| token.fingerprint.as_str());
        self.rotated.as_deref().or(kept)
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

fn without(no_leave: NoLeave) -> Event {
    match no_leave {
        NoLeave::HeldBack(held_back) => Event::NotReady(held_back.refused(Refusal::IssuerUnavailable)),
        NoLeave::Misconfigured(cause) => Event::Unready(Failure::misconfigured(cause)),
        NoLeave::Transient(passing) => Event::Unready(Failure {
            kind: passing.kind,
            asked: passing.retry_after,
            cause: passing.cause,
        }),
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
