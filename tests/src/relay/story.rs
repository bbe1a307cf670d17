//! The story of one program at one issuer: log in, be idle past the token's end, restart, refresh one token twenty times at
//! once, an issuer that is away, a control that dies with the answer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokenward_harness::issuer::{Issuer, IssuerCounts};
use tokenward_harness::parts::{RealDex, StrictIssuer};

use super::warnings::most_per_pair_and_minute;
use super::{IssuerKind, Program, ProgramKind, Stage, StagePlan, Times};

/// Refreshes of one token at once.
pub const AT_ONCE: usize = 20;
/// All is stored, and the client has no answer.
const DIES_AT: &str = "after:store_id_token";
const TOGETHER: &str = "20 at once";
const AWAY: &str = "issuer away";
const DEATH: &str = "control dies with the answer";
const BETWEEN_CALLS: Duration = Duration::from_millis(500);
/// How long a user tries before the login counts as lost: longer than any pause of control's.
const PATIENCE: Duration = Duration::from_secs(90);
/// The same where no control pauses.
const PATIENCE_WITHOUT_RELAY: Duration = Duration::from_secs(3);
const DIES_WITHIN: Duration = Duration::from_secs(60);

/// What happened in a part of the story.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Act {
    /// What it is.
    pub name: &'static str,
    /// Calls of the user, or refreshes at once.
    pub calls: usize,
    /// How many of them failed.
    pub failed: usize,
    /// Refreshes presented at the issuer.
    pub presented: usize,
    /// Refreshes that the issuer did.
    pub refreshed: usize,
}

/// All of a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The program.
    pub program: &'static str,
    /// The issuer.
    pub issuer: String,
    /// Whether control relayed.
    pub relayed: bool,
    /// How long the issuer was away, seconds.
    pub outage_seconds: u64,
    /// The parts, in order.
    pub acts: Vec<Act>,
    /// How often the user had to log in again.
    pub logins_lost: usize,
    /// Requests that reached the MCP server with an expired token.
    pub expired_at_servers: usize,
    /// Requests that reached the MCP server with a token that the gateway itself had signed.
    pub own_tokens_at_servers: usize,
    /// The most WARN lines of the filter about one pair within a minute.
    pub warn_per_pair_minute_max: usize,
    /// WARN and ERROR lines of all replicas of control.
    pub control_warnings: usize,
}

impl Outcome {
    /// Nothing was lost behind the relay: only calls while the issuer is away, and the one whose control dies, may fail.
    ///
    /// # Errors
    /// When a promise does not hold.
    pub fn ensure_promises(&self) -> anyhow::Result<()> {
        ensure!(self.logins_lost == 0, "logins were lost: {self:#?}");
        ensure!(self.expired_at_servers == 0, "expired tokens: {self:#?}");
        ensure!(self.own_tokens_at_servers == 0, "own tokens: {self:#?}");
        ensure!(self.warn_per_pair_minute_max <= 1, "too many lines: {self:#?}");
        let mut others = self.acts.iter().filter(|act| ![AWAY, DEATH].contains(&act.name));
        ensure!(others.all(|act| act.failed == 0), "calls failed: {self:#?}");
        let mut together = self.acts.iter().filter(|act| act.name == TOGETHER);
        ensure!(
            together.all(|act| act.presented == 1),
            "not one refresh: {self:#?}"
        );
        // Each refresh token was presented once, and taken.
        let (presented, refreshed) = (self.sum(|act| act.presented), self.sum(|act| act.refreshed));
        ensure!(presented == refreshed, "{presented} presented: {self:#?}");
        Ok(())
    }

    /// The sum over all parts.
    pub fn sum(&self, number: impl Fn(&Act) -> usize) -> usize {
        self.acts.iter().map(number).sum()
    }
}

/// Which story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    /// The program.
    pub program: ProgramKind,
    /// The issuer.
    pub issuer: IssuerKind,
    /// Whether control relays.
    pub relayed: bool,
    /// Its times.
    pub times: Times,
    /// Only the login and the outage are played.
    pub only_outage: bool,
}

impl Story {
    /// Plays it; `None`, with a line on the terminal, where a program is missing on this machine.
    ///
    /// # Errors
    /// When a part does not start, or there is no answer where there must be one.
    pub async fn play(self) -> anyhow::Result<Option<Outcome>> {
        if let Some(why) = self.program.missing()?.or(self.issuer.missing()?) {
            let (program, issuer) = (self.program.name(), self.issuer.name());
            tokenward_harness::aloud!("left out: {program} at {issuer}: {why}");
            return Ok(None);
        }
        match self.issuer {
            IssuerKind::Dex(_) => Box::pin(self.play_on::<RealDex>()).await,
            IssuerKind::Strict => Box::pin(self.play_on::<StrictIssuer>()).await,
        }
        .with_context(|| format!("{} at {}", self.program.name(), self.issuer.name()))
        .map(Some)
    }

    async fn play_on<I: Issuer>(self) -> anyhow::Result<Outcome> {
        let mut play = Play::<I>::begin(self).await?;
        play.login().await?;
        if self.only_outage {
            play.outage().await?;
            return Ok(play.outcome());
        }
        play.idle().await?;
        play.restart().await?;
        play.at_once().await?;
        play.both_forms().await?;
        play.outage().await?;
        if self.relayed {
            play.death().await?;
        }
        play.listener().await?;
        Ok(play.outcome())
    }
}

/// A story that is going on.
struct Play<I> {
    story: Story,
    stage: Stage<I>,
    program: Program,
    acts: Vec<Act>,
    before: IssuerCounts,
    logins_lost: usize,
    control_warnings: usize,
}

impl<I: Issuer> Play<I> {
    async fn begin(story: Story) -> anyhow::Result<Self> {
        let (port, redirect) = ProgramKind::redirect()?;
        let plan = StagePlan {
            relayed: story.relayed,
            times: story.times,
            reuse_interval: story.issuer.reuse_interval(),
            policy: story.issuer.policy(),
            redirect_uris: vec![redirect],
        };
        let stage = Stage::<I>::start(plan).await?;
        let program = Program::start(story.program, &stage, story.issuer, port).await?;
        Ok(Self {
            before: stage.issuer.counts(),
            story,
            stage,
            program,
            acts: Vec::new(),
            logins_lost: 0,
            control_warnings: 0,
        })
    }

    /// Waits until the newest token has expired, also in the program's view.
    async fn until_past_the_end(&self) {
        let times = &self.story.times;
        let age = self.program.kind.refreshes_at(times).max(times.life);
        self.stage.wait_until_age(age).await;
    }

    /// One call; how many of it failed.
    async fn call(&self) -> anyhow::Result<usize> {
        Ok(usize::from(self.program.call().await?.status != 200))
    }

    fn note(&mut self, name: &'static str, calls: usize, failed: usize) {
        let counts = self.stage.issuer.counts();
        self.acts.push(Act {
            name,
            calls,
            failed,
            presented: counts.refreshes_presented - self.before.refreshes_presented,
            refreshed: counts.refreshes_succeeded - self.before.refreshes_succeeded,
        });
        self.before = counts;
    }

    /// The user tries until served, or the login is lost and the user logs in again.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let patience = if self.story.relayed {
            PATIENCE
        } else {
            PATIENCE_WITHOUT_RELAY
        };
        let limit = Instant::now() + patience;
        while self.call().await? > 0 {
            if !self.program.is_logged_in().await? || Instant::now() > limit {
                self.logins_lost += 1;
                self.program.log_in().await?;
                ensure!(self.call().await? == 0, "not served after a login");
                return Ok(());
            }
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        Ok(())
    }

    async fn login(&mut self) -> anyhow::Result<()> {
        self.program.log_in().await?;
        let failed = self.call().await?;
        self.note("login", 1, failed);
        self.settle().await
    }

    async fn idle(&mut self) -> anyhow::Result<()> {
        self.until_past_the_end().await;
        let failed = self.call().await?;
        self.note("idle past the end", 1, failed);
        self.settle().await
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.until_past_the_end().await;
        self.program.restart().await?;
        let failed = self.call().await?;
        self.note("restart", 1, failed);
        self.settle().await
    }

    async fn at_once(&mut self) -> anyhow::Result<()> {
        self.until_past_the_end().await;
        let failed = self.program.refresh_at_once(AT_ONCE).await?;
        self.note(TOGETHER, AT_ONCE, failed);
        self.settle().await
    }

    /// The same refresh in two forms, a millisecond apart: what the aggregator's process does with its first call.
    async fn both_forms(&mut self) -> anyhow::Result<()> {
        let Some(aggregator) = self.program.aggregator() else {
            return Ok(());
        };
        let both = aggregator.refresh_in_both_forms(super::ALICE).await;
        let same = both
            .as_ref()
            .is_ok_and(|[first, second]| first.id_token == second.id_token);
        self.note("two forms", 2, usize::from(!same));
        self.settle().await
    }

    /// The issuer goes away just before the program refreshes. One that forgets its session when a refresh fails after the
    /// token's end gets its issuer back before that: nothing else can keep that session.
    async fn outage(&mut self) -> anyhow::Result<()> {
        let times = self.story.times;
        let begins_at = self.program.kind.refreshes_at(&times) - Duration::from_secs(1);
        let mut ends_at = begins_at + times.outage;
        if self.program.kind.forgets_after_the_end() {
            ends_at = ends_at.min(times.life - times.recovery);
        }
        self.stage.wait_until_age(begins_at).await;
        self.stage.issuer.set_down(true);
        let (mut calls, mut failed) = (0, 0);
        while self.stage.age_of_newest() < ends_at {
            calls += 1;
            failed += self.call().await?;
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        self.stage.issuer.set_down(false);
        self.note(AWAY, calls, failed);
        let lost = self.logins_lost;
        self.settle().await?;
        // A program may be served with what it has: the outage is over for it when it has refreshed.
        let limit = Instant::now() + PATIENCE;
        while self.logins_lost == lost && !self.has_refreshed() && Instant::now() < limit {
            tokio::time::sleep(BETWEEN_CALLS).await;
            self.settle().await?;
        }
        self.note("issuer back", 0, 0);
        Ok(())
    }

    /// Whether the issuer has done a refresh since the last part.
    fn has_refreshed(&self) -> bool {
        self.stage.issuer.counts().refreshes_succeeded > self.before.refreshes_succeeded
    }

    /// The replica to which the Service leads dies when it has stored the issuer's answer and not yet passed it on.
    async fn death(&mut self) -> anyhow::Result<()> {
        self.note_warnings_of(0);
        let healthy = self.stage.controls[0].config().clone();
        let mut doomed = healthy.clone();
        doomed.failpoint = Some(DIES_AT.to_owned());
        self.stage.lead_to(1);
        self.stage.controls[0].kill()?;
        self.stage.controls[0].restart_with(doomed).await?;
        self.stage.lead_to(0);
        let age = self.program.kind.refreshes_at(&self.story.times);
        self.stage.wait_until_age(age).await;
        let limit = Instant::now() + DIES_WITHIN;
        let (mut calls, mut failed) = (0, 0);
        // A program's own clock may be a little behind: it refreshes with a later call.
        while self.stage.controls[0].process()?.exit()?.is_none() {
            ensure!(Instant::now() < limit, "no refresh within {DIES_WITHIN:?}");
            ensure!(self.program.is_logged_in().await?, "lost before control died");
            calls += 1;
            failed += self.call().await?;
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        self.stage.lead_to(1);
        self.note(DEATH, calls, failed);
        self.settle().await?;
        self.note("its successor", 0, 0);
        self.stage.controls[0].restart_with(healthy).await
    }

    /// What a replica has logged since its start, before it ends.
    fn note_warnings_of(&mut self, replica: usize) {
        let is_warning =
            |line: &str| line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\"");
        self.control_warnings += self.stage.controls[replica].log().count(is_warning);
    }

    /// A listener with a header that grows old, beside its user, for one and a half lives of a token.
    async fn listener(&mut self) -> anyhow::Result<()> {
        let Some(aggregator) = self.program.aggregator() else {
            return Ok(());
        };
        let listener = aggregator.listen(super::ALICE, super::SERVER).await?;
        let end = Instant::now() + self.story.times.life.mul_f32(1.5);
        let (mut calls, mut failed) = (0, 0);
        while Instant::now() < end {
            calls += 1;
            failed += self.call().await?;
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        let statuses = listener.statuses();
        calls += statuses.len();
        failed += statuses.iter().filter(|status| **status != 200).count() + listener.unanswered();
        drop(listener);
        self.note("old header", calls, failed);
        self.settle().await
    }

    fn outcome(mut self) -> Outcome {
        self.note_warnings_of(0);
        self.note_warnings_of(1);
        Outcome {
            program: self.story.program.name(),
            issuer: self.story.issuer.name(),
            relayed: self.story.relayed,
            outage_seconds: self.story.times.outage.as_secs(),
            acts: self.acts,
            logins_lost: self.logins_lost,
            expired_at_servers: self.stage.server.counts().rejected_expired,
            own_tokens_at_servers: self.stage.server.counts().own_tokens,
            control_warnings: self.control_warnings,
            warn_per_pair_minute_max: most_per_pair_and_minute(&self.stage.gateway),
        }
    }
}
