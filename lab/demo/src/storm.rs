//! The storm: listeners that retry against a login that has ended.

use std::time::Instant;

use serde::Serialize;
use tokio::task::JoinSet;

use super::Bound;
use super::report::{control_calls, filter_lines, number_in};
use super::screen::bar;
use super::setting::{LOG_LAG, LOOK_AGAIN, REMOTE, WORKERS};
use super::telling::Story;
use tokenward_harness::issuer::Issuer;
use tokenward_harness::world::{ALICE, Answer, CLIENT, LOCAL, Login};

/// Every 100 ms this many listeners at each of the two servers come back.
const LISTENERS: usize = 5;
const ROUNDS: usize = 40;
const REQUESTS: usize = 2 * LISTENERS * ROUNDS;
const PAIRS: usize = 2;
/// Per pair each worker may call once before the gate is known to all, then one probe at a time: closed for 2 s, 4 s,
/// 8 s, 16 s (each up to a quarter less), so at most four more while a storm of half a minute lasts.
const MOST_CONTROL_CALLS: usize = PAIRS * (WORKERS + 4);

/// The storm in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Storm {
    /// Requests sent.
    pub requests: usize,
    /// Answered 401 by the gateway with a challenge that requires a login.
    pub refused: usize,
    /// Requests that reached any server.
    pub upstream_requests: usize,
    /// Refreshes that reached the issuer.
    pub refreshes: usize,
    /// Calls from the gateway to control.
    pub control_calls: usize,
    /// WARN lines of the filter.
    pub warnings: usize,
    /// How long it lasted, seconds.
    pub seconds: f64,
}

impl<I: Issuer> Story<'_, I> {
    pub(super) async fn storm_is_refused(&mut self, alice: &Login) -> anyhow::Result<()> {
        self.open(
            "The grant is revoked, and the listeners storm",
            "In the incident: 456 consecutive 403s at one server, 1,378 of 1,813 log lines in half an hour.",
        );
        let revoked = self.world.home.end_login(ALICE, CLIENT.0).await;
        self.screen.event(
            "home issuer",
            None,
            "alice's refresh token is revoked; no other component learns of it",
        );
        self.promise(
            "refresh tokens revoked",
            Bound::Exactly(1),
            usize::from(revoked.is_ok()),
        );
        let last = self.stored_until(alice).await?.max(self.served_until(REMOTE)?);
        self.await_expiry("until the last token of that login has expired", last)
            .await;
        self.ledger.storm = self.storm(alice).await?;
        self.screen.event(
            &format!("{} listeners → gateway", 2 * LISTENERS),
            Some(401).filter(|_| self.ledger.storm.refused == REQUESTS),
            &format!(
                "{REQUESTS} requests in {:.1} s, at both servers",
                self.ledger.storm.seconds
            ),
        );
        let storm = self.ledger.storm.clone();
        self.promise(
            "refused by the gateway: 401, log in again",
            Bound::Exactly(REQUESTS),
            storm.refused,
        );
        self.promise(
            "requests that reached a server",
            Bound::Exactly(0),
            storm.upstream_requests,
        );
        self.promise("refreshes at the issuer", Bound::Exactly(1), storm.refreshes);
        self.promise(
            "calls to control",
            Bound::AtMost(MOST_CONTROL_CALLS),
            storm.control_calls,
        );
        self.promise("WARN lines, one per pair", Bound::Exactly(PAIRS), storm.warnings);
        let most = self.world.warnings_per_pair().into_values().max().unwrap_or(0);
        self.promise("WARN lines of the loudest pair", Bound::AtMost(1), most);
        self.ledger.close();
        Ok(())
    }

    async fn storm(&mut self, alice: &Login) -> anyhow::Result<Storm> {
        let mark = self.world.envoy.log().mark();
        let (refreshes_before, upstream_before) = (self.refreshes_of(ALICE), self.world.upstream_requests());
        let calls_before = control_calls(self.world).await?;
        let start = Instant::now();
        let answers = self.run_listeners(alice).await?;
        let seconds = start.elapsed().as_secs_f64();
        self.note_answers(&answers);
        self.await_log_of(mark, answers.len()).await;
        Ok(Storm {
            requests: answers.len(),
            refused: answers.iter().filter(|answer| requires_login(answer)).count(),
            upstream_requests: self.world.upstream_requests() - upstream_before,
            refreshes: self.refreshes_of(ALICE) - refreshes_before,
            control_calls: control_calls(self.world).await? - calls_before,
            warnings: filter_lines(self.world, mark)
                .filter(|line| line.level == "warning")
                .count(),
            seconds: (seconds * 10.0).round() / 10.0,
        })
    }

    /// Listeners at both servers, round after round, never waiting for one another's answers.
    async fn run_listeners(&self, alice: &Login) -> anyhow::Result<Vec<Answer>> {
        const BAR_WIDTH: usize = 30;
        let calls = [LOCAL, REMOTE].map(|server| self.world.call(server).login(alice).listen());
        let mut under_way = JoinSet::new();
        let mut answers = Vec::new();
        let mut rounds = tokio::time::interval(LOOK_AGAIN);
        for _ in 0..ROUNDS {
            rounds.tick().await;
            for call in calls.iter().flat_map(|call| std::iter::repeat_n(call, LISTENERS)) {
                let call = call.clone();
                under_way.spawn(async move { call.send().await });
            }
            while let Some(answer) = under_way.try_join_next() {
                answers.push(answer??);
            }
            let refused = answers.iter().filter(|answer| requires_login(answer)).count();
            let bar = bar(refused, REQUESTS, BAR_WIDTH);
            self.screen.live(&format!("{bar} {refused}/{REQUESTS} refused"));
        }
        while let Some(answer) = under_way.join_next().await {
            answers.push(answer??);
        }
        self.screen.clear_live();
        Ok(answers)
    }

    /// Waits until the log after `mark` speaks of all refused requests: lines come a little after the answers.
    async fn await_log_of(&self, mark: usize, refused: usize) {
        let until = Instant::now() + LOG_LAG;
        let spoken_of = || {
            let lines = filter_lines(self.world, mark);
            lines
                .filter_map(|line| number_in(&line, "requests"))
                .sum::<usize>()
        };
        while spoken_of() < refused && Instant::now() < until {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// RFC 6750 §3: 401 with a challenge, made by the gateway because the login has ended.
fn requires_login(answer: &Answer) -> bool {
    answer.status == 401
        && answer.refusal().as_deref() == Some("needs_login")
        && answer
            .header("www-authenticate")
            .is_some_and(|challenge| challenge.starts_with("Bearer "))
}
