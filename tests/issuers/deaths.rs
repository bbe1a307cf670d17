//! A process that dies at each step of a refresh at Keycloak, and what its heir makes of the login.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use tokenward_harness::parts::keycloak::Realm;
use tokenward_tests::deployment::{Ending, TokenCall};
use tokio::task::JoinSet;

use super::stage::{PATIENCE, Stage, plan, plan_of_realm};

/// How a login ends, and how often its refresh tokens are presented until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Served(usize),
    NeedsLogin(usize),
}

use Expected::{NeedsLogin, Served};

const STEPS: [(&str, Expected); 10] = [
    ("after:lease", Served(1)),
    ("before:announce", Served(1)),
    // No replica can know that nothing was presented; Keycloak's introspection confirms it.
    ("after:announce", Served(1)),
    ("before:present", Served(1)),
    // The answer dies with the process, and introspection states that the token is used up.
    ("after:present", NeedsLogin(1)),
    ("before:store_refresh_token", NeedsLogin(1)),
    // The new refresh token is stored, the ID token is not.
    ("after:store_refresh_token", Served(2)),
    ("before:store_id_token", Served(2)),
    ("after:store_id_token", Served(1)),
    ("before:release", Served(1)),
];

fn email(step: usize) -> String {
    format!("user-{step}@example.com")
}

/// Repeats the call until there is no answer: on a machine that stands still the store is late before the step is reached.
async fn send_until_dead(call: &TokenCall) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    while let Ok(answer) = call.send().await {
        ensure!(
            answer.status == 503 && Instant::now() < limit,
            "it answers: {answer:?}"
        );
    }
    Ok(())
}

async fn dies_at_each_step(scope: &str) -> anyhow::Result<()> {
    let users = (0..STEPS.len()).fold(plan_of_realm(), |plan, step| plan.user(&email(step)));
    let story = format!("a process that dies at each step, {scope}");
    let Some(stage) = Stage::set_with(&story, users, plan(1, true)).await? else {
        return Ok(());
    };
    let mut calls = Vec::new();
    for at in 0..STEPS.len() {
        let session = format!("s-{at}");
        let login = stage.log_in(&session, &email(at), scope).await?;
        calls.push(stage.call(&session, &login));
    }
    let mut stories = JoinSet::new();
    for (at, (step, _)) in STEPS.into_iter().enumerate() {
        let mut doomed = stage.deployment.doomed(step).await?;
        let heir = calls[at].clone();
        let call = heir.clone().at(doomed.url());
        stories.spawn(async move {
            send_until_dead(&call).await.context(step)?;
            doomed.process()?.wait_for_exit(PATIENCE).await?;
            let said = format!("failpoint {step}");
            doomed.log().wait_for_line(|line| line == said, PATIENCE).await?;
            anyhow::Ok((at, heir.send_until_settled(PATIENCE).await?))
        });
    }
    while let Some(story) = stories.join_next().await {
        let (at, ending) = story??;
        let (step, expected) = STEPS[at];
        let presented = stage.realm.counts_of(&email(at)).refreshes_presented;
        match (&ending, expected) {
            (Ending::Served(_), Served(times)) => assert_eq!(presented, times, "{step}"),
            (Ending::NeedsLogin(why), NeedsLogin(times)) => {
                assert_eq!(presented, times, "{step}");
                assert!(why.contains("answer to a refresh was lost"), "{step}: {why}");
                stage.until_a_login_is_needed(&calls[at]).await.context(step)?;
            }
            other => panic!("{step}: {other:?}"),
        }
    }
    let done = STEPS.iter().map(|(_, expected)| match expected {
        Served(times) | NeedsLogin(times) => times,
    });
    stage.assert_refreshes(done.sum(), 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_of_a_refresh_at_keycloak_presents_no_token_twice()
-> anyhow::Result<()> {
    dies_at_each_step(Realm::ONLINE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_any_step_of_an_offline_login_at_keycloak_presents_no_token_twice()
-> anyhow::Result<()> {
    dies_at_each_step(Realm::OFFLINE).await
}
