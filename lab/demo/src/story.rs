//! The story, step by step, in real time.

use std::time::{Duration, Instant};

use super::Bound;
use super::report::{filter_lines, number_in};
use super::setting::{BOB, CAROL, LOG_LAG, LOOK_AGAIN, REMOTE, WORKERS};
use super::telling::{A_FEW, Story, count_ok, exp_of};
use tokenward_harness::issuer::{Issuer, fingerprint};
use tokenward_harness::world::{ALICE, LOCAL, Login};

const PARALLEL: usize = 200;

/// The logins of the story.
#[derive(Debug)]
struct Logins {
    alice: Login,
    bob: Login,
    carol: Login,
}

impl<I: Issuer> Story<'_, I> {
    pub(super) async fn play(mut self) -> anyhow::Result<()> {
        let logins = self.fresh_passes().await?;
        let mut client = self.client_logs_in().await?;
        self.idle_past_expiry(&logins).await?;
        self.exchange_is_renewed(&logins.alice).await?;
        self.client_refreshes(&mut client).await?;
        self.issuer_is_down(&logins.carol).await?;
        self.storm_is_refused(&logins.alice).await?;
        self.new_login_recovers(&logins.alice).await?;
        self.client_is_signed_out(client.as_ref()).await?;
        self.nothing_stale_ever_left()
    }

    async fn fresh_passes(&mut self) -> anyhow::Result<Logins> {
        self.open(
            "A user logs in: a fresh token passes",
            "The filter decides alone and changes nothing; only the exchange server needs a token of its own.",
        );
        let logins = Logins {
            alice: self.log_in(ALICE, "alice").await?,
            bob: self.log_in(BOB, "bob").await?,
            carol: self.log_in(CAROL, "carol").await?,
        };
        let alice = &logins.alice;
        let mut passed = self
            .call_a_few(alice, LOCAL, "forwarded as it is, byte for byte")
            .await?;
        passed += self
            .call_a_few(alice, REMOTE, "exchanged once, then from memory")
            .await?;
        self.promise("calls answered by the servers", Bound::Exactly(2 * A_FEW), passed);
        let presented = fingerprint(&alice.tokens.id_token);
        let seen_by = |server: &str| self.world.server(server).seen();
        let untouched = seen_by(LOCAL)
            .iter()
            .filter(|token| token.fingerprint == presented)
            .count();
        let leaked = seen_by(REMOTE)
            .iter()
            .filter(|token| token.fingerprint == presented)
            .count();
        self.promise(
            "tokens that reached local untouched",
            Bound::Exactly(A_FEW),
            untouched,
        );
        self.promise("home tokens that reached remote-1", Bound::Exactly(0), leaked);
        let exchanges = self.world.remote.counts().exchanges_presented;
        self.promise("exchange", Bound::Exactly(1), exchanges);
        let refreshes = self.world.home.counts().refreshes_presented;
        self.promise("refreshes", Bound::Exactly(0), refreshes);
        self.ledger.close();
        Ok(logins)
    }

    async fn idle_past_expiry(&mut self, logins: &Logins) -> anyhow::Result<()> {
        self.open(
            "Idle past expiry",
            "Without the filter the expired token went upstream as it was, and the server answered 401.",
        );
        let mut last = self.served_until(REMOTE)?;
        for login in [&logins.alice, &logins.bob, &logins.carol] {
            last = last.max(exp_of(&login.tokens.id_token)?);
        }
        self.await_expiry("all users are idle until their tokens have expired", last)
            .await;
        self.one_stale_call(&logins.alice).await?;
        self.parallel_stale_calls(&logins.bob).await?;
        self.ledger.close();
        Ok(())
    }

    async fn one_stale_call(&mut self, alice: &Login) -> anyhow::Result<()> {
        let before = self.refreshes_of(ALICE);
        let answer = self.call(alice, LOCAL).await?;
        let text = "held, refreshed, forwarded: the client sees a 200";
        self.screen
            .event("alice → gateway → local", Some(answer.status), text);
        self.promise(
            "of 1 stale call answered by the server",
            Bound::Exactly(1),
            count_ok(&[answer]),
        );
        let refreshes = self.refreshes_of(ALICE) - before;
        self.promise("refresh for it", Bound::Exactly(1), refreshes);
        Ok(())
    }

    async fn parallel_stale_calls(&mut self, bob: &Login) -> anyhow::Result<()> {
        let before = self.refreshes_of(BOB);
        let answers = self.world.call(LOCAL).login(bob).send_many(PARALLEL).await?;
        let passed = self.note_answers(&answers);
        let text = format!("{PARALLEL} stale calls at once, on {WORKERS} workers");
        let status = answers.first().map(|answer| answer.status);
        self.screen.event("bob → gateway → local", status, &text);
        let counted = format!("of {PARALLEL} stale calls answered by the server");
        self.promise(&counted, Bound::Exactly(PARALLEL), passed);
        let refreshes = self.refreshes_of(BOB) - before;
        self.promise("refresh for all of them", Bound::Exactly(1), refreshes);
        Ok(())
    }

    async fn exchange_is_renewed(&mut self, alice: &Login) -> anyhow::Result<()> {
        self.open(
            "The exchanged token has expired too",
            "Without the filter nothing renewed these tokens: 16 servers, one error per second each.",
        );
        let (home, remote) = (self.world.home.counts(), self.world.remote.counts());
        let passed = self
            .call_a_few(alice, REMOTE, "exchanged again, with the refreshed login")
            .await?;
        self.promise("calls answered by the server", Bound::Exactly(A_FEW), passed);
        let exchanges = self.world.remote.counts().exchanges_presented - remote.exchanges_presented;
        self.promise("exchange", Bound::Exactly(1), exchanges);
        let refreshes = self.world.home.counts().refreshes_presented - home.refreshes_presented;
        self.promise(
            "refreshes: both servers share one login",
            Bound::Exactly(0),
            refreshes,
        );
        self.ledger.close();
        Ok(())
    }

    async fn issuer_is_down(&mut self, carol: &Login) -> anyhow::Result<()> {
        self.open(
            "The home issuer is down for a moment",
            "503 and Retry-After: MCP clients discard a login on 401, never on 503.",
        );
        let upstream = self.world.upstream_requests();
        self.world.home.set_down(true);
        let answer = self.call(carol, LOCAL).await;
        self.world.home.set_down(false);
        let answer = answer?;
        let wait_seconds = answer
            .header("retry-after")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        self.screen.event(
            "carol → gateway",
            Some(answer.status),
            &format!("Retry-After: {wait_seconds}; the login remains valid"),
        );
        self.promise(
            "answers 503",
            Bound::Exactly(1),
            usize::from(answer.status == 503),
        );
        self.promise("seconds in Retry-After", Bound::AtLeast(1), wait_seconds);
        let reached = self.world.upstream_requests() - upstream;
        self.promise(
            "requests that reached a server meanwhile",
            Bound::Exactly(0),
            reached,
        );
        self.await_moment(
            "carol waits as long as Retry-After states",
            Duration::from_secs(wait_seconds as u64),
        )
        .await;
        let answer = self.call(carol, LOCAL).await?;
        self.screen.event(
            "carol → gateway → local",
            Some(answer.status),
            "the issuer is back, the same login works",
        );
        self.promise(
            "answered by the server afterwards",
            Bound::Exactly(1),
            count_ok(&[answer]),
        );
        let logins = self.world.home.counts_of(CAROL).logins;
        self.promise("logins that carol needed in total", Bound::Exactly(1), logins);
        self.ledger.close();
        Ok(())
    }

    async fn new_login_recovers(&mut self, alice: &Login) -> anyhow::Result<()> {
        self.open(
            "The user logs in again",
            "The next request works on both servers, although the gate was closed.",
        );
        let mark = self.world.envoy.log().mark();
        let mut again = self.world.log_in_unregistered(ALICE).await?;
        again.session.clone_from(&alice.session);
        self.world.register(&again).await?;
        self.screen.event(
            "alice → home issuer",
            None,
            "logged in again; her session has a new grant",
        );
        for (server, text) in [
            (LOCAL, "at the first try"),
            (REMOTE, "at the first try, exchanged again"),
        ] {
            let answer = self.call(&again, server).await?;
            self.screen
                .event(&format!("alice → gateway → {server}"), Some(answer.status), text);
            self.promise(
                &format!("first call to {server} answered by it"),
                Bound::Exactly(1),
                count_ok(&[answer]),
            );
        }
        let recoveries = self.recoveries_after(mark).await;
        self.promise(
            "recoveries logged, one INFO per pair",
            Bound::Exactly(2),
            recoveries.len(),
        );
        let suppressed: usize = recoveries.iter().sum();
        let spoken_for = suppressed + self.ledger.storm.warnings;
        self.promise(
            "refusals they account for (WARN + suppressed)",
            Bound::Exactly(self.ledger.storm.requests),
            spoken_for,
        );
        self.ledger.close();
        Ok(())
    }

    fn nothing_stale_ever_left(&mut self) -> anyhow::Result<()> {
        self.open(
            "The one invariant",
            "Requests that reach an MCP server with a bearer past its exp: 0.",
        );
        let tally = self.world.tally();
        self.promise(
            "requests with an expired token at a server",
            Bound::Exactly(0),
            tally.rejected_expired,
        );
        self.promise(
            "requests with an access token of our own at a server",
            Bound::Exactly(0),
            tally.own_tokens,
        );
        self.promise(
            "requests with any other unusable token",
            Bound::Exactly(0),
            tally.rejected_other,
        );
        self.promise(
            "accepted by the servers = answered to callers",
            Bound::Exactly(self.ledger.passed),
            tally.accepted,
        );
        self.ledger.close();
        Ok(())
    }

    /// The suppressed counts of the INFO lines after `mark`, once there is one for each pair or none comes any more.
    async fn recoveries_after(&self, mark: usize) -> Vec<usize> {
        let until = Instant::now() + LOG_LAG;
        loop {
            let found: Vec<usize> = filter_lines(self.world, mark)
                .filter(|line| line.level == "info")
                .filter_map(|line| number_in(&line, "suppressed"))
                .collect();
            if found.len() >= 2 || Instant::now() > until {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
