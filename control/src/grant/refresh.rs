//! One refresh of one grant: lease, second look, one presentation, and the rotated token kept before anything else.
//!
//! Runs in a task of its own ([`crate::flight`]), so that no caller's departure cancels a presentation: an issuer
//! that has rotated the token does not take that back because nobody waits any more.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::refusal::Refusal;
use tokio::time::Instant;

use super::commit::{Basis, Committed};
use super::decide::{Decision, Want, decide};
use super::record::{DeathReason, GrantKey, GrantRecord, Intent, REFRESH_TOKEN_FIELD};
use super::{Inner, Served};
use crate::config::IssuerPolicy;
use crate::digest;
use crate::flight::Reporter;
use crate::issuer::HomeIssuer;
use crate::issuer::answer::{RefreshAnswer, Transient};
use crate::lease::{self, Held};
use crate::refused::Refused;
use crate::sealed;
use crate::store::StoreError;
use crate::streak::StreakKind;

type Report = Arc<Reporter<Result<Served, Refused>>>;

/// One refresh under way.
pub(super) struct Flight {
    pub(super) inner: Arc<Inner>,
    pub(super) key: GrantKey,
    pub(super) issuer: Arc<HomeIssuer>,
    pub(super) want: Want,
    pub(super) report: Report,
}

pub(super) async fn refresh(
    inner: Arc<Inner>,
    key: GrantKey,
    issuer: Arc<HomeIssuer>,
    want: Want,
    report: Report,
) -> Result<Served, Refused> {
    let flight = Flight {
        inner,
        key,
        issuer,
        want,
        report,
    };
    flight.run().await
}

/// What a look at the record says.
enum Look {
    Settled(Result<Served, Refused>),
    Refresh(Box<GrantRecord>),
}

impl Flight {
    async fn run(&self) -> Result<Served, Refused> {
        let lifetime = self.inner.times.lease_lifetime;
        let until = Instant::now() + lifetime;
        let mut wait = lease::FIRST_WAIT;
        loop {
            let taken = lease::try_take(&self.inner.context.store, &self.key.lease(), lifetime).await?;
            if let Some(held) = taken {
                let result = self.holding(&held).await;
                held.release().await;
                return result;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(lease::LONGEST_WAIT);
            // Another replica is at work; its result shows in the record.
            if let Look::Settled(result) = self.look().await? {
                return result;
            }
            if Instant::now() > until {
                return Err(Refusal::Busy.into());
            }
        }
    }

    async fn look(&self) -> Result<Look, Refused> {
        let kept = self.inner.known(&self.key).await?;
        let now_ms = self.inner.context.clock.now_ms();
        Ok(
            match decide(&kept.record, &self.want, &self.inner.times.policy, now_ms) {
                Decision::Serve => Look::Settled(self.inner.serve(&self.key, &kept.record)),
                Decision::Refuse(refused) => Look::Settled(Err(refused)),
                Decision::Refresh => Look::Refresh(Box::new(kept.record)),
            },
        )
    }

    /// After somebody else changed the record under us.
    pub(super) async fn settled_elsewhere(&self) -> Result<Served, Refused> {
        self.count("superseded");
        match self.look().await? {
            Look::Settled(result) => result,
            Look::Refresh(_) => Err(Refused::new(Refusal::Busy).retry_after(Duration::from_secs(1))),
        }
    }

    async fn holding(&self, held: &Held) -> Result<Served, Refused> {
        self.mend().await?;
        let record = match self.look().await? {
            Look::Settled(result) => return result,
            Look::Refresh(record) => record,
        };
        let Some(refresh_token) = &record.refresh_token else {
            return Err(Refusal::NeedsLogin.into());
        };
        let ring = &self.inner.context.ring;
        let presented = sealed::open(
            ring,
            &self.key.record(),
            REFRESH_TOKEN_FIELD,
            &refresh_token.sealed,
        )?;
        let basis = Basis {
            generation: record.generation,
            refresh_fingerprints: vec![refresh_token.fingerprint.clone()],
        };
        let unresolved =
            unresolved_intent(&record).filter(|intent| !self.inner.rotations.is_nothing(&intent.holder));
        if unresolved.is_some() && self.issuer.config.policy == IssuerPolicy::Strict {
            return self.dead(&basis, DeathReason::AnswerLost, true).await;
        }
        let announced = self.announce(held, &basis).await.inspect_err(|_| {
            // The announcement may have landed all the same; the presentation it speaks of will not be made.
            self.inner.rotations.came_to_nothing(&held.owner().0);
        });
        if let Committed::Superseded = announced? {
            return self.settled_elsewhere().await;
        }
        match self.issuer.refresh(&self.inner.context, &presented).await {
            RefreshAnswer::Refreshed {
                id_token,
                refresh_token,
            } => {
                let rotated =
                    refresh_token.filter(|token| token.expose_secret() != presented.expose_secret());
                self.refreshed(&record, basis, id_token, rotated).await
            }
            RefreshAnswer::Dead(death) => {
                let certain = self.is_certain(held, unresolved).await;
                self.dead(&basis, death.into(), certain).await
            }
            RefreshAnswer::Misconfigured(cure) => {
                self.inner.rotations.came_to_nothing(&held.owner().0);
                self.noted(&record, &basis, StreakKind::Misconfigured, None, cure)
                    .await
            }
            RefreshAnswer::Transient(passing)
                if passing.perhaps_done && self.issuer.config.policy == IssuerPolicy::Strict =>
            {
                self.dead(&basis, DeathReason::AnswerLost, true).await
            }
            RefreshAnswer::Transient(Transient {
                kind,
                retry_after,
                cause,
                perhaps_done,
            }) => {
                if !perhaps_done {
                    self.inner.rotations.came_to_nothing(&held.owner().0);
                }
                self.noted(&record, &basis, kind, retry_after, cause).await
            }
        }
    }

    /// Puts back what this replica wrote and the store has lost; to present what is used up would cost the login.
    async fn mend(&self) -> Result<(), Refused> {
        let record = self.inner.known(&self.key).await?.record;
        let now_ms = self.inner.context.clock.now_ms();
        let Some(rotation) = self.inner.rotations.after(&self.key, &record, now_ms) else {
            return Ok(());
        };
        let basis = Basis {
            generation: record.generation,
            refresh_fingerprints: record
                .refresh_token
                .map(|held| held.fingerprint)
                .into_iter()
                .collect(),
        };
        let put_back = |record: &mut GrantRecord| rotation.put_back(record);
        let change = self.inner.change(&self.key);
        if let Committed::Done = change
            .apply(&basis, Duration::ZERO, &self.report, put_back)
            .await?
        {
            self.count("put_back");
            tracing::warn!(
                grant = digest::short(self.key.digest()),
                "the store had lost the outcome of a refresh; it is put back"
            );
        }
        Ok(())
    }

    /// Write-ahead: who presents what, before it is presented. What a crash leaves behind tells the next holder that
    /// the token may be used up.
    async fn announce(&self, held: &Held, basis: &Basis) -> Result<Committed, StoreError> {
        let now_ms = self.inner.context.clock.now_ms();
        let intent = Intent {
            generation: basis.generation,
            fingerprint: basis.refresh_fingerprints.first().cloned().unwrap_or_default(),
            holder: held.owner().0.clone(),
            started_at_ms: now_ms,
        };
        self.inner
            .change(&self.key)
            .apply(basis, Duration::ZERO, &self.report, |record| {
                record.intent = Some(intent.clone());
            })
            .await
    }

    /// Whether the issuer's refusal is the last word: not without the lease, and not while an earlier presenter, of
    /// whom nobody knows how it ended, may still come and keep the good token.
    async fn is_certain(&self, held: &Held, unresolved: Option<&Intent>) -> bool {
        let now_ms = self.inner.context.clock.now_ms();
        let lease_ms = whole_ms(self.inner.times.lease_lifetime);
        let contested = unresolved.is_some_and(|intent| now_ms < intent.started_at_ms + lease_ms);
        !contested && held.still_ours().await
    }
}

/// A presentation of the kept refresh token whose outcome was never written down.
fn unresolved_intent(record: &GrantRecord) -> Option<&Intent> {
    let kept = &record.refresh_token.as_ref()?.fingerprint;
    record
        .intent
        .as_ref()
        .filter(|intent| intent.generation == record.generation && intent.fingerprint == *kept)
}
