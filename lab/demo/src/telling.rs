//! What every step of the story does: it calls, waits, records promises, and shows each of these.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokenward_protocol::jwt::Claims;

use super::ledger::Ledger;
use super::screen::bar;
use super::setting::LOOK_AGAIN;
use super::{Bound, Screen};
use tokenward_harness::issuer::Issuer;
use tokenward_harness::world::{Answer, CLIENT, Login, World};

/// Calls to each server where one would do: they spread over the workers.
pub(super) const A_FEW: usize = 4;

/// The running story.
#[derive(Debug)]
pub(super) struct Story<'a, I> {
    pub(super) world: &'a World<I>,
    pub(super) screen: &'a Screen,
    pub(super) ledger: &'a mut Ledger,
}

impl<'a, I: Issuer> Story<'a, I> {
    pub(super) fn new(world: &'a World<I>, screen: &'a Screen, ledger: &'a mut Ledger) -> Self {
        Self {
            world,
            screen,
            ledger,
        }
    }

    pub(super) async fn log_in(&self, email: &str, name: &str) -> anyhow::Result<Login> {
        let login = self.world.log_in(email).await?;
        let left_seconds = exp_of(&login.tokens.id_token)?.saturating_sub(self.now_ms() / 1000);
        let text = format!("logged in with client {}; expires in {left_seconds} s", CLIENT.0);
        self.screen.event(&format!("{name} → home issuer"), None, &text);
        Ok(login)
    }

    /// Calls a few times one after the other; returns how many the server answered.
    pub(super) async fn call_a_few(
        &mut self,
        login: &Login,
        server: &str,
        text: &str,
    ) -> anyhow::Result<usize> {
        let mut answers = Vec::new();
        for _ in 0..A_FEW {
            answers.push(self.call(login, server).await?);
        }
        self.screen.event(
            &format!("alice → gateway → {server}"),
            answers.last().map(|answer| answer.status),
            &format!("{A_FEW} calls: {text}"),
        );
        Ok(count_ok(&answers))
    }

    pub(super) async fn call(&mut self, login: &Login, server: &str) -> anyhow::Result<Answer> {
        let answer = self.world.call(server).login(login).send().await?;
        self.note_answers(std::slice::from_ref(&answer));
        Ok(answer)
    }

    /// Writes down how calls ended; returns how many a server answered.
    pub(super) fn note_answers(&mut self, answers: &[Answer]) -> usize {
        let passed = count_ok(answers);
        self.ledger.passed += passed;
        self.ledger.refused += answers.len() - passed;
        passed
    }

    pub(super) fn open(&mut self, title: &str, why: &str) {
        let number = self.ledger.open(title);
        self.screen.heading(number, title, why);
    }

    pub(super) fn promise(&mut self, counted: &str, must_be: Bound, found: usize) {
        let promise = self.ledger.promise(counted, must_be, found);
        self.screen.promise(&promise);
    }

    /// Waits until the real clock has passed `exp_seconds`.
    pub(super) async fn await_expiry(&self, what: &str, exp_seconds: u64) {
        let left_ms = exp_seconds.saturating_mul(1000).saturating_sub(self.now_ms());
        self.await_moment(what, Duration::from_millis(left_ms)).await;
    }

    pub(super) async fn await_moment(&self, what: &str, span: Duration) {
        const BAR_WIDTH: usize = 30;
        if !self.screen.is_live() {
            self.screen.event(
                "time passes",
                None,
                &format!("{what}: {:.1} s", span.as_secs_f64()),
            );
        }
        let start = Instant::now();
        while let Some(left) = span.checked_sub(start.elapsed()) {
            let bar = bar(
                start.elapsed().as_millis() as usize,
                span.as_millis() as usize,
                BAR_WIDTH,
            );
            self.screen
                .live(&format!("{bar} {:>4.1} s  {what}", left.as_secs_f64()));
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
        self.screen.clear_live();
    }

    /// When the token that a server saw last expires, Unix seconds.
    pub(super) fn served_until(&self, server: &str) -> anyhow::Result<u64> {
        let seen = self.world.server(server).seen();
        let exp_seconds = seen.last().and_then(|token| token.exp_seconds);
        let exp_seconds = exp_seconds.with_context(|| format!("{server} saw no token"))?;
        Ok(u64::try_from(exp_seconds)?)
    }

    /// Refreshes of a user's login that reached the home issuer so far.
    pub(super) fn refreshes_of(&self, email: &str) -> usize {
        self.world.home.counts_of(email).refreshes_presented
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.world.home.clock().now_ms()).unwrap_or(0)
    }

    /// When the ID token that control stores for a session expires, Unix seconds.
    pub(super) async fn stored_until(&self, login: &Login) -> anyhow::Result<u64> {
        let session = self.world.session(login).await?;
        match session["id_token_expires_at"].as_u64() {
            Some(exp_seconds) => Ok(exp_seconds),
            None => bail!("control stores no ID token for this session: {session}"),
        }
    }
}

/// `exp` of a token, Unix seconds.
pub(super) fn exp_of(token: &str) -> anyhow::Result<u64> {
    let claims = Claims::read(token.as_bytes()).context("the issuer's token cannot be read")?;
    Ok(claims.exp_seconds)
}

pub(super) fn count_ok(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}
