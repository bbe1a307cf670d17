//! A process that dies at each step of a refresh, and what its heir makes of the login.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use crate::deployment::{Deployment, Ending, Plan, Processes, Session, TokenCall, email, with_users};

const DEADLINE: Duration = Duration::from_secs(90);

/// How a login ends, and how often its refresh tokens are presented until then, at the least and at the most.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Served(usize),
    NeedsLogin(usize, usize),
}

use Expected::{NeedsLogin, Served};

/// Where it dies; what follows at Dex with a reuse interval, at Dex without one, and at a strict issuer.
const STEPS: [(&str, Expected, Expected, Expected); 10] = [
    ("after:lease", Served(1), Served(1), Served(1)),
    ("before:announce", Served(1), Served(1), Served(1)),
    // No replica can know that nothing was presented; control queries a strict issuer, which confirms it.
    ("after:announce", Served(1), Served(1), Served(1)),
    ("before:present", Served(1), Served(1), Served(1)),
    // The answer dies with the process. Dex is called again once no other process can have it.
    ("after:present", Served(2), NeedsLogin(2, 3), NeedsLogin(1, 1)),
    (
        "before:store_refresh_token",
        Served(2),
        NeedsLogin(2, 3),
        NeedsLogin(1, 1),
    ),
    // The new refresh token is stored, the ID token is not.
    ("after:store_refresh_token", Served(2), Served(2), Served(2)),
    ("before:store_id_token", Served(2), Served(2), Served(2)),
    ("after:store_id_token", Served(1), Served(1), Served(1)),
    ("before:release", Served(1), Served(1), Served(1)),
];

async fn dies_at_each_step(
    policy: &'static str,
    reuse_seconds: u64,
    expected: impl Fn(usize) -> Expected,
) -> anyhow::Result<()> {
    let reuse_interval = Duration::from_secs(reuse_seconds);
    let dex = Plan::default().dex.reuse_interval(reuse_interval);
    let mut deployment = Deployment::start_processes(Plan {
        replicas: 1,
        dex: with_users(dex, STEPS.len()),
        policy,
        // Longer than a busy machine takes for anything that is answered at all. The lease outlasts an issuer's answer and
        // two of the store, so that its successor knows that no other process has the answer.
        store_deadline: Some("2s"),
        settings: json!({"issuer_timeout": "5s", "lease": "10s"}),
        ..Plan::of_processes()
    })
    .await?;
    let mut logins = Vec::new();
    for user in 0..STEPS.len() {
        logins.push(deployment.log_in_an_hour_ago(&email(user)).await?);
    }
    let mut stories = JoinSet::new();
    for (at, login) in logins.iter().enumerate() {
        let mut doomed = deployment.doomed(STEPS[at].0).await?;
        let heir = deployment.ask_for(login);
        let call = heir.clone().at(doomed.url());
        stories.spawn(async move {
            send_until_dead(&call).await.with_context(|| STEPS[at].0)?;
            doomed.process()?.wait_for_exit(DEADLINE).await?;
            let said = format!("failpoint {}", STEPS[at].0);
            doomed.log().wait_for_line(|line| line == said, DEADLINE).await?;
            anyhow::Ok((at, heir.send_until_settled(DEADLINE).await?))
        });
    }
    while let Some(story) = stories.join_next().await {
        let (at, ending) = story??;
        let name = format!("{policy}, reuse {reuse_seconds} s, {}", STEPS[at].0);
        ended_as(&deployment, &logins[at], &ending, expected(at), &name).await?;
    }
    Ok(())
}

/// Repeats the call until there is no answer: on a machine that stands still the store is late before the step is reached.
async fn send_until_dead(call: &TokenCall) -> anyhow::Result<()> {
    let limit = Instant::now() + DEADLINE;
    while let Ok(answer) = call.send().await {
        ensure!(
            answer.status == 503 && Instant::now() < limit,
            "it answers: {answer:?}"
        );
    }
    Ok(())
}

async fn ended_as(
    deployment: &Deployment<Processes>,
    login: &Session,
    ending: &Ending,
    expected: Expected,
    name: &str,
) -> anyhow::Result<()> {
    let presented = deployment.dex.counts_of(&login.email).refreshes_presented;
    match (ending, expected) {
        (Ending::Served(_), Served(times)) => assert_eq!(presented, times, "{name}"),
        (Ending::NeedsLogin(why), NeedsLogin(least, most)) => {
            assert!((least..=most).contains(&presented), "{name}: {presented}");
            assert!(why.contains("answer to a refresh was lost"), "{name}: {why}");
            // It is over, and stays over without another word to the issuer.
            for _ in 0..3 {
                let answer = deployment.ask_for(login).send().await?;
                assert_eq!(answer.refusal(), (400, "needs_login"), "{name}");
            }
            let now = deployment.dex.counts_of(&login.email).refreshes_presented;
            assert_eq!(now, presented, "{name}");
        }
        other => panic!("{name}: {other:?}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_reuse_interval_of_a_minute_no_step_costs_a_login() -> anyhow::Result<()> {
    dies_at_each_step("tolerant", 60, |at| STEPS[at].1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reuse_only_an_answer_that_died_with_the_process_costs_its_login() -> anyhow::Result<()> {
    dies_at_each_step("tolerant", 0, |at| STEPS[at].2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_strict_issuer_no_step_makes_a_token_be_presented_twice() -> anyhow::Result<()> {
    dies_at_each_step("strict", 0, |at| STEPS[at].3).await
}

#[test]
fn the_service_that_ships_has_no_failpoints() -> anyhow::Result<()> {
    use tokenward_harness::parts::tools;
    let holds = |path: std::path::PathBuf| -> anyhow::Result<bool> {
        let name = b"TOKENWARD_FAILPOINT";
        Ok(std::fs::read(path)?
            .windows(name.len())
            .any(|bytes| bytes == name))
    };
    assert!(holds(tools::tokenward_with_failpoints()?)?);
    assert!(!holds(tools::tokenward()?)?);
    Ok(())
}
