//! Twenty processes refresh one refresh token at once, 200 times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::{LoginClient, LoginClientKind, write_file};

use super::shared_token::log_in_once;
use super::stage::Stage;

const PROCESSES: usize = 20;
const ROUNDS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);

/// What they came to together.
#[derive(Debug, Serialize)]
pub(crate) struct RefreshRounds {
    processes: usize,
    rounds: usize,
    /// Answers with tokens, of `processes` times `rounds`.
    refreshed: usize,
    /// Rounds in which all processes got the same tokens: they stay one family.
    rounds_with_one_answer: usize,
    /// Times that control replaced the refresh token: once a round.
    rotations: u64,
    /// Times that control ended the login as reused.
    reuses: u64,
    /// Answers that would have sent the user to log in.
    pub(crate) logins_lost: usize,
}

impl RefreshRounds {
    pub(crate) fn ensure_promises(&self) -> anyhow::Result<()> {
        let all = (PROCESSES * ROUNDS, ROUNDS, ROUNDS as u64, 0, 0);
        let found = (
            self.refreshed,
            self.rounds_with_one_answer,
            self.rotations,
            self.reuses,
            self.logins_lost,
        );
        ensure!(found == all, "{self:?}");
        Ok(())
    }
}

/// One process logs in; then twenty refresh what it has got.
pub(crate) async fn play(stage: &Stage) -> anyhow::Result<RefreshRounds> {
    let folder = TempDir::with_prefix("tokenward-refresh-rounds-")?;
    let store = log_in_once(stage, &folder).await?;
    let before = stage.requests().await?;
    let url = format!("{}/token", stage.world.authorization_issuer());
    let step = json!({"rounds": ROUNDS, "gates": folder.path()});
    let mut processes = (0..PROCESSES)
        .map(|_| LoginClient::start(LoginClientKind::Refresher, &url, Some(&store), &[step.clone()]))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut outcome = RefreshRounds {
        processes: PROCESSES,
        rounds: ROUNDS,
        refreshed: 0,
        rounds_with_one_answer: 0,
        rotations: 0,
        reuses: 0,
        logins_lost: 0,
    };
    for round in 0..ROUNDS {
        outcome.play_round(round, &folder, &mut processes).await?;
    }
    let after = stage.requests().await?;
    let more = |name: &str| {
        let count = |of: &BTreeMap<String, u64>| of.get(name).copied().unwrap_or(0);
        count(&after) - count(&before)
    };
    outcome.rotations = more("token refreshed");
    outcome.reuses = more("token reuse");
    Ok(outcome)
}

impl RefreshRounds {
    async fn play_round(
        &mut self,
        round: usize,
        folder: &TempDir,
        processes: &mut [LoginClient],
    ) -> anyhow::Result<()> {
        // All have read the same token before one of them replaces it.
        write_file(folder, &format!("read-{round}"), "")?;
        for process in &mut *processes {
            let line = process.next(PATIENCE).await?;
            ensure!(line["event"] == "ready", "{line}");
        }
        write_file(folder, &format!("refresh-{round}"), "")?;
        let mut answers = BTreeSet::new();
        for process in processes {
            let line = process.next(PATIENCE).await?;
            self.take(&line, &mut answers)
                .with_context(|| format!("round {round}"))?;
        }
        self.rounds_with_one_answer += usize::from(answers.len() == 1);
        Ok(())
    }

    fn take(&mut self, line: &Value, answers: &mut BTreeSet<String>) -> anyhow::Result<()> {
        ensure!(line["step"] == "refresh", "{line}");
        if line["ok"] == true {
            self.refreshed += 1;
            answers.insert(line["tokens"].as_str().context("no tokens")?.to_owned());
        } else {
            println!("an answer without tokens: {line}");
            self.logins_lost += usize::from(line["status"] == 400);
        }
        Ok(())
    }
}
