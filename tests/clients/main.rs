//! Real MCP clients log in at our own authorization server, on real Envoy and real Dex, with two replicas of control on one
//! Valkey, counted: `cargo xtask clients --check`.

mod conformance;
mod outcome;
mod refresh_rounds;
mod report;
mod shared_token;
mod stage;
mod story;
mod user;

use tokenward_harness::parts::LoginClientKind;
use tokio::task::JoinSet;

use outcome::Outcome;
use report::Report;
use stage::Stage;
use story::Story;

/// So many clients side by side: each is one to three processes.
const SIDE_BY_SIDE: usize = 4;

/// Each client, at the servers that it is played at.
fn all_stories() -> Vec<Story> {
    let stories = LoginClientKind::ALL.into_iter().flat_map(|client| {
        // The style of 2026-07-28, at a server that needs an exchange.
        let speaks_both = matches!(client, LoginClientKind::TypeScript2 | LoginClientKind::Python);
        [Some(stage::EVERYTHING), speaks_both.then_some(stage::MODERN)]
            .into_iter()
            .flatten()
            .map(move |server| (client, server))
    });
    let numbered = stories.enumerate();
    numbered
        .map(|(number, (client, server))| Story {
            client,
            server,
            user: stage::user(number),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_logs_in_calls_past_expiry_and_logs_in_once_more_after_its_login_died()
-> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut waiting = all_stories().into_iter();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut running = JoinSet::new();
    loop {
        for story in waiting.by_ref().take(SIDE_BY_SIDE - running.len()) {
            running.spawn(story.play(stage.clone()));
        }
        let Some(outcome) = running.join_next().await else {
            break;
        };
        outcomes.push(outcome??);
    }
    outcomes.sort();
    let requests = stage.requests().await?;
    Report::of_clients(&outcomes, &requests, stage.own_tokens())?;
    stage.ensure_good_tokens_only()?;
    outcomes.iter().try_for_each(Outcome::ensure_promises)?;
    assert_eq!(outcomes.len(), 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_processes_that_share_one_refresh_token_lose_no_login() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let lost = shared_token::play(&stage).await?;
    Report::of_shared_token(&lost, stage.own_tokens())?;
    stage.ensure_good_tokens_only()?;
    lost.ensure_promises()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_processes_that_refresh_at_once_200_times_stay_one_login() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let rounds = refresh_rounds::play(&stage).await?;
    Report::of_refresh_rounds(&rounds, stage.own_tokens())?;
    rounds.ensure_promises()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_passes_against_the_authorization_server() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let results = conformance::run(&stage).await?;
    Report::of_conformance(&results)?;
    results.ensure_passed()
}
