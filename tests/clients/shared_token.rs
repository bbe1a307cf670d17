//! Many processes of one client that share one refresh token, as several windows of an editor do.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::browser::Browser;
use tokenward_harness::parts::{LoginClient, LoginClientKind, write_file};

use super::stage::{self, Stage};
use super::story::{echo, until};
use super::user;

const PROCESSES: usize = 20;
/// Times that all of them refresh at once.
const ROUNDS: usize = 3;
/// Twenty processes start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// What they came to together.
#[derive(Debug, Serialize)]
pub(crate) struct SharedToken {
    processes: usize,
    rounds: usize,
    /// Calls that worked, of [`PROCESSES`] times [`ROUNDS`].
    calls_after_expiry: usize,
    /// Logins that a process wanted after the first.
    pub(crate) logins_lost: usize,
    /// Calls that a user would have had to try again.
    failures: u64,
}

impl SharedToken {
    pub(crate) fn ensure_promises(&self) -> anyhow::Result<()> {
        let all = PROCESSES * ROUNDS;
        ensure!(
            (self.calls_after_expiry, self.logins_lost, self.failures) == (all, 0, 0),
            "{self:?}, not {all} calls"
        );
        Ok(())
    }
}

/// One process logs in; then twenty refresh what it has got, all at once, each time that their common token has expired.
pub(crate) async fn play(stage: &Stage) -> anyhow::Result<SharedToken> {
    let folder = TempDir::with_prefix("tokenward-shared-token-")?;
    let store = log_in_once(stage, &folder).await?;
    let url = stage.world.resource(stage::EVERYTHING);
    let start = |steps: &[Value]| LoginClient::start(LoginClientKind::TypeScript2, &url, Some(&store), steps);
    let go_on = |round: usize| format!("go-on-{round}");
    let steps: Vec<Value> = (0..ROUNDS)
        .flat_map(|round| [until(&folder.path().join(go_on(round))), echo()])
        .collect();
    let mut clients = Vec::new();
    for _ in 0..PROCESSES {
        clients.push(start(&steps)?);
    }
    let mut outcome = SharedToken {
        processes: PROCESSES,
        rounds: ROUNDS,
        calls_after_expiry: 0,
        logins_lost: 0,
        failures: 0,
    };
    for round in 0..ROUNDS {
        outcome
            .read_all(&mut clients, |line| line["event"] == "idle")
            .await?;
        stage.wait_until_access_tokens_expired().await;
        write_file(&folder, &go_on(round), "")?;
        outcome
            .read_all(&mut clients, |line| line["step"] == "call")
            .await?;
        if outcome.logins_lost > 0 {
            break;
        }
    }
    Ok(outcome)
}

/// One process logs its user in and ends. The result is the folder with its tokens, in `folder`.
pub(crate) async fn log_in_once(stage: &Stage, folder: &TempDir) -> anyhow::Result<PathBuf> {
    let store = folder.path().join("store");
    std::fs::create_dir(&store).context("cannot make the folder that the processes share")?;
    let url = stage.world.resource(stage::EVERYTHING);
    let steps = [json!({"do": "tools"})];
    let mut client = LoginClient::start(LoginClientKind::TypeScript2, &url, Some(&store), &steps)?;
    let browser = Browser::new()?;
    loop {
        let line = client.next(PATIENCE).await?;
        if line["event"] == "login_wanted" {
            user::log_in(&browser, &line, &stage::user(0))
                .await
                .with_context(|| client.printed())?;
        }
        if line["step"] == "tools" {
            ensure!(line["ok"] == true, "{}", client.printed());
            return Ok(store);
        }
    }
}

impl SharedToken {
    async fn read_all(
        &mut self,
        clients: &mut [LoginClient],
        last: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        for client in clients {
            self.read_until(client, &last).await?;
        }
        Ok(())
    }

    async fn read_until(
        &mut self,
        client: &mut LoginClient,
        last: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        loop {
            let line = client.next(PATIENCE).await?;
            if line["event"] == "login_wanted" {
                // There is no user here: the process would wait.
                self.logins_lost += 1;
                println!("a login was lost:\n{}", client.printed());
                return Ok(());
            }
            if line["step"] == "call" {
                self.calls_after_expiry += usize::from(line["ok"] == true);
                self.failures += line["failures"].as_u64().unwrap_or_default();
            }
            if last(&line) {
                return Ok(());
            }
        }
    }
}
