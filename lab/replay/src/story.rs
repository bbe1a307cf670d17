//! The course of the incident, minute by minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::aggregator::{Aggregator, User};
use super::book::{Book, Kind};
use super::evidence::Evidence;
use super::half::{Half, IssuerCalls, Lines};
use super::lost_logins::LostLogins;
use super::{Column, Pace, log_lines};
use tokenward_demo::Screen;
use tokenward_harness::issuer::Issuer;
use tokenward_harness::parts::LogBook;
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, World};

const BOB: &str = "bob@example.com";

/// Users call a tool of every server once a minute, until here; then they are idle.
const IDLE_FROM: f64 = 6.0;
/// Longer idle than a token lives; then one call.
const BACK_FROM_IDLE: f64 = 34.0;
const CALLS_END: f64 = 38.0;
/// Bob's grant is revoked at the issuer; no other component learns of it.
const GRANT_DIES: f64 = 39.0;
/// The pods of the aggregator and of control are gone …
const PODS_END: f64 = 41.0;
/// … and are back when every token has expired.
const PODS_ARE_BACK: f64 = 62.0;
/// Both users call every server.
const CALLS_AFTER_RESTART: f64 = 64.0;
/// The refresh that comes later: alice's client comes back with a new ID token.
const ALICE_RETURNS: f64 = 67.0;
/// Bob logs in again.
const BOB_LOGS_IN: f64 = 70.0;
/// From here on nothing happens but what listeners do.
const LAST_CALL: f64 = 76.0;
const END: f64 = 78.0;

/// What a reader of the plot wants to know.
pub(super) const MARKS: [(f64, &str); 4] = [
    (30.0, "tokens expire"),
    (PODS_END, "pods gone"),
    (PODS_ARE_BACK, "pods back"),
    (BOB_LOGS_IN, "new login"),
];

struct Story<'a, I> {
    world: &'a mut World<I>,
    pace: Pace,
    column: Column,
    screen: &'a Screen,
    book: Arc<Book>,
    aggregator: Aggregator,
    alice: User,
    bob: User,
    minutes: Minutes,
    control_lines: Lines,
    restarted: Duration,
    /// What comes after the restart comes later by this, where the pods were not back in time.
    late: Duration,
    logins: BTreeMap<&'static str, Duration>,
    lost: LostLogins,
}

/// Plays it to its end.
pub(super) async fn play<I: Issuer>(
    world: &mut World<I>,
    pace: Pace,
    column: Column,
    screen: &Screen,
) -> anyhow::Result<Half> {
    for name in world.server_names() {
        world.server(&name).set_streams_last(pace.streams_last());
    }
    let book = Arc::new(Book::open());
    let aggregator = Aggregator::new(world, pace, column, book.clone())?;
    let minutes = Minutes::follow(world.envoy.log().clone(), pace, &book);
    let mut story = Story {
        world,
        pace,
        column,
        screen,
        book,
        aggregator,
        alice: User::new(ALICE),
        bob: User::new(BOB),
        minutes,
        control_lines: Lines::default(),
        restarted: Duration::ZERO,
        late: Duration::ZERO,
        logins: BTreeMap::new(),
        lost: LostLogins::default(),
    };
    let (alice, bob) = story.work_and_idle().await?;
    story.restart().await?;
    story.recover(&alice, &bob).await?;
    story.half().await
}

impl<I: Issuer> Story<'_, I> {
    async fn work_and_idle(&mut self) -> anyhow::Result<(Login, Login)> {
        let (alice, bob) = (self.log_in(ALICE).await?, self.log_in(BOB).await?);
        for (user, login) in [(&self.alice, &alice), (&self.bob, &bob)] {
            self.aggregator.log_in(self.world, user, login).await?;
            self.aggregator.open_listeners(user);
        }
        self.calls_until(IDLE_FROM).await;
        self.until(BACK_FROM_IDLE).await;
        self.calls_until(CALLS_END).await;
        Ok((alice, bob))
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.until(GRANT_DIES).await;
        self.lost.end(BOB, &self.world.home);
        self.world.home.end_login(BOB, CLIENT.0).await?;
        self.bob.set_alive(false);
        self.until(PODS_END).await;
        self.aggregator.end(&[&self.alice, &self.bob]).await;
        self.control_lines
            .add(log_lines::of_control(&self.world.control.log().lines()));
        self.world.control.kill()?;
        self.until(PODS_ARE_BACK).await;
        self.world.control.restart().await?;
        self.restarted = self.book.now();
        let in_time = self.pace.minutes(PODS_ARE_BACK + 1.0);
        self.late = self.restarted.saturating_sub(in_time);
        for user in [&self.alice, &self.bob] {
            self.aggregator.begin_again(user).await?;
        }
        Ok(())
    }

    async fn recover(&mut self, alice: &Login, bob: &Login) -> anyhow::Result<()> {
        self.until(CALLS_AFTER_RESTART).await;
        self.calls_until(ALICE_RETURNS).await;
        let alice = self.log_in_again(alice).await?;
        self.aggregator.take_new_id_token(&self.alice, &alice).await?;
        self.logins.insert(ALICE, self.book.now());
        self.calls_until(BOB_LOGS_IN).await;
        let bob = self.log_in_again(bob).await?;
        self.logins.insert(BOB, self.book.now());
        self.aggregator.log_in(self.world, &self.bob, &bob).await?;
        self.lost.begin_again(BOB, &self.world.home);
        // Until the aggregator has the new token its listeners present the dead one.
        self.bob.set_alive(true);
        self.calls_until(LAST_CALL).await;
        self.until(END).await;
        Ok(())
    }

    /// Logs in, and registers the login at control where the aggregator does.
    async fn log_in(&self, email: &str) -> anyhow::Result<Login> {
        if self.column.registers() {
            return self.world.log_in(email).await;
        }
        Ok(Login {
            email: email.to_owned(),
            session: format!("session of {email}"),
            tokens: self.world.log_in_at_token_endpoint(email).await?,
        })
    }

    async fn log_in_again(&self, before: &Login) -> anyhow::Result<Login> {
        if self.column.registers() {
            return self.world.log_in_again(before).await;
        }
        self.log_in(&before.email).await
    }

    /// Both users call every server once a minute.
    async fn calls_until(&mut self, end: f64) {
        let since = self.book.now().saturating_sub(self.late);
        let mut minute = since.as_secs_f64() / self.pace.minute.as_secs_f64();
        while minute < end {
            self.aggregator.call_every_server(&self.alice);
            self.aggregator.call_every_server(&self.bob);
            minute += 1.0;
            self.until(minute.min(end)).await;
        }
    }

    /// Waits for a minute of the incident.
    async fn until(&mut self, minute: f64) {
        let begun = Instant::from_std(self.book.begun());
        let end = begun + self.pace.minutes(minute) + self.late;
        while Instant::now() + self.pace.minute < end {
            self.show();
            tokio::time::sleep(self.pace.minute).await;
        }
        tokio::time::sleep_until(end).await;
    }

    fn show(&self) {
        let column = self.column.name();
        let minute = self.pace.minute_of(self.book.now());
        let rejected = self.rejected();
        self.screen.live(&format!(
            "{column}: minute {minute} of {END:.0}, {rejected} rejected by servers so far"
        ));
    }

    fn rejected(&self) -> usize {
        let counts = |name: &String| self.world.server(name).counts();
        let servers = self.world.server_names();
        let rejected = servers
            .iter()
            .map(counts)
            .map(|counts| counts.rejected_expired + counts.rejected_other);
        rejected.sum()
    }

    /// Each of the users is logged in at the end: whichever party owns the login must be able to refresh it.
    async fn count_lost_logins(&mut self) -> anyhow::Result<usize> {
        for (user, email) in [(&self.alice, ALICE), (&self.bob, BOB)] {
            if !self.aggregator.can_refresh(user).await {
                self.lost.note(email);
            }
        }
        Ok(self.lost.count([ALICE, BOB], &self.world.home))
    }

    async fn half(mut self) -> anyhow::Result<Half> {
        self.aggregator.end(&[]).await;
        self.screen.clear_live();
        let issuer_calls = IssuerCalls::of(&self.world.home.counts(), &self.world.remote.counts());
        // Its own requests are none of the story's.
        let logins_lost = self.count_lost_logins().await?;
        self.control_lines
            .add(log_lines::of_control(&self.world.control.log().lines()));
        let calls = self
            .world
            .envoy
            .stats()
            .await?
            .count("tokenward_control_calls_total", &[]);
        let evidence = Evidence {
            pace: self.pace,
            column: self.column,
            attempts: self.book.attempts(),
            minutes: self.minutes.ends(),
            envoy_log: self.world.envoy.log().lines(),
            restarted: self.restarted,
            logins: self.logins,
            servers: self.world.server_names(),
            local: LOCAL.to_owned(),
        };
        let tally = self.world.tally();
        let servers = self.world.server_names();
        let servers = servers.iter().map(|name| self.world.server(name).counts());
        let requests_of_2026 = servers.map(|counts| counts.with_mcp_method).sum();
        Ok(Half {
            rejected_expired: tally.rejected_expired,
            own_tokens: tally.own_tokens,
            server_errors: tally.rejected_expired + tally.rejected_other,
            server_errors_per_minute: evidence.server_errors_per_minute(),
            accepted: tally.accepted,
            gateway_refusals_per_minute: evidence.per_minute(|attempt| attempt.by_gateway),
            gateway_refusals: evidence.count(|attempt| attempt.by_gateway),
            local_failures_in_a_row: evidence.local_failures_in_a_row(),
            failed_though_alive: evidence.failed_though_alive(Kind::Call),
            logins_lost,
            requests_of_2026,
            listeners_failed_though_alive: evidence.failed_though_alive(Kind::Listener),
            warn_lines_per_minute: evidence.warn_lines_per_minute(),
            warn_per_pair_minute_max: evidence.warn_per_pair_minute_max(),
            aggregator_lines: evidence.count(|attempt| !attempt.succeeded()),
            filter_lines: log_lines::of_filter(&evidence.envoy_log),
            control_lines: self.control_lines,
            control_calls: usize::try_from(calls)?,
            issuer_calls,
            storm: evidence.storm(BOB),
            recovery_seconds: evidence.recovery_seconds(),
        })
    }
}

/// How many lines Envoy had logged when each minute ended.
struct Minutes {
    ends: Arc<Mutex<Vec<usize>>>,
    _clock: JoinSet<()>,
}

impl Minutes {
    fn follow(log: LogBook, pace: Pace, book: &Book) -> Self {
        let ends: Arc<Mutex<Vec<usize>>> = Arc::default();
        let (noted, begun) = (ends.clone(), Instant::from_std(book.begun()));
        let mut clock = JoinSet::new();
        clock.spawn(async move {
            for minute in 1..=u32::MAX {
                tokio::time::sleep_until(begun + pace.minute * minute).await;
                noted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(log.mark());
            }
        });
        Self { ends, _clock: clock }
    }

    fn ends(&self) -> Vec<usize> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
