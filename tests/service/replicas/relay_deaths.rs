//! A process that dies at each step of a refresh for a client of the relay, and what its heir answers the same client.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use crate::deployment::{Deployment, Plan, Processes, RelayCall, email, with_users};

const DEADLINE: Duration = Duration::from_secs(90);
/// Between two requests of a client that was answered 503.
const PAUSE: Duration = Duration::from_millis(300);

/// How the client's login ends, and how often its refresh tokens are presented until then, at the least and at the most.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Served(usize),
    Ended(usize, usize),
}

use Expected::{Ended, Served};

/// Whether control knows the login before the client refreshes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Login {
    /// It passed through the relay.
    Learned,
    /// The client presents a token that control has never seen.
    Unknown,
}

use Login::{Learned, Unknown};

/// Whose login, and where the process dies; what follows at Dex with a reuse interval, at Dex without one, and at a strict
/// issuer.
const STEPS: [(Login, &str, Expected, Expected, Expected); 22] = [
    (Unknown, "before:index", Served(1), Served(1), Served(1)),
    (Unknown, "after:index", Served(1), Served(1), Served(1)),
    (Unknown, "before:provisional", Served(1), Served(1), Served(1)),
    (Unknown, "after:provisional", Served(1), Served(1), Served(1)),
    (Unknown, "after:lease", Served(1), Served(1), Served(1)),
    (Unknown, "after:announce", Served(1), Served(1), Served(1)),
    (Unknown, "before:present", Served(1), Served(1), Served(1)),
    // The answer dies with the process. The issuer says what became of the token.
    (Unknown, "after:present", Served(2), Ended(2, 3), Ended(1, 1)),
    (
        Unknown,
        "before:store_refresh_token",
        Served(2),
        Ended(2, 3),
        Ended(1, 1),
    ),
    // The new refresh token is stored, the response is not.
    (
        Unknown,
        "after:store_refresh_token",
        Served(2),
        Served(2),
        Served(2),
    ),
    (Unknown, "before:store_id_token", Served(2), Served(2), Served(2)),
    // From here on the heir hands out what the dead process has stored.
    (Unknown, "after:store_id_token", Served(1), Served(1), Served(1)),
    (Unknown, "before:move", Served(1), Served(1), Served(1)),
    (Unknown, "after:move", Served(1), Served(1), Served(1)),
    (Unknown, "before:attach", Served(1), Served(1), Served(1)),
    (Unknown, "after:attach", Served(1), Served(1), Served(1)),
    (Unknown, "after:lead", Served(1), Served(1), Served(1)),
    (Unknown, "before:hand_out", Served(1), Served(1), Served(1)),
    (Learned, "after:present", Served(2), Ended(2, 3), Ended(1, 1)),
    (
        Learned,
        "after:store_refresh_token",
        Served(2),
        Served(2),
        Served(2),
    ),
    (Learned, "before:hand_out", Served(1), Served(1), Served(1)),
    (Learned, "after:hand_out", Served(1), Served(1), Served(1)),
];

/// What the client got in the end.
#[derive(Debug)]
enum Outcome {
    /// 200 with this ID token and refresh token.
    Tokens(String, String),
    /// The issuer's words for a dead token.
    Words(String),
}

async fn dies_at_each_step(
    policy: &'static str,
    reuse_seconds: u64,
    expected: impl Fn(usize) -> Expected,
) -> anyhow::Result<()> {
    let dex = Plan::default()
        .dex
        .reuse_interval(Duration::from_secs(reuse_seconds));
    let deployment = Deployment::start_processes(Plan {
        replicas: 1,
        dex: with_users(dex, STEPS.len()),
        policy,
        relay: Some(json!({})),
        store_deadline: Some("2s"),
        settings: json!({"issuer_timeout": "5s", "lease": "10s"}),
        ..Plan::of_processes()
    })
    .await?;
    let mut tokens = Vec::new();
    for (at, (login, ..)) in STEPS.into_iter().enumerate() {
        tokens.push(refresh_token_of_an_hour_ago(&deployment, login, &email(at)).await?);
    }
    let mut stories = JoinSet::new();
    for (at, (_, step, ..)) in STEPS.into_iter().enumerate() {
        let mut doomed = deployment.doomed(step).await?;
        let heir = deployment.relayed_refresh(0, &tokens[at]);
        let call = heir.clone().at(&doomed.url());
        stories.spawn(async move {
            send_until_dead(&call).await.with_context(|| step)?;
            doomed.process()?.wait_for_exit(DEADLINE).await?;
            let line = format!("failpoint {step}");
            doomed
                .log()
                .wait_for_line(|logged| logged == line, DEADLINE)
                .await?;
            anyhow::Ok((at, send_until_settled(&heir).await.with_context(|| step)?))
        });
    }
    while let Some(story) = stories.join_next().await {
        let (at, outcome) = story??;
        let (login, step, ..) = STEPS[at];
        let name = format!("{policy}, reuse {reuse_seconds} s, {login:?}, {step}");
        ended_as(&deployment, &email(at), &outcome, expected(at), &name).await?;
    }
    Ok(())
}

/// The refresh token of a login whose ID token is stale.
async fn refresh_token_of_an_hour_ago(
    deployment: &Deployment<Processes>,
    login: Login,
    email: &str,
) -> anyhow::Result<String> {
    const HOUR: Duration = Duration::from_secs(3600);
    if login == Unknown {
        return Ok(deployment.login_of_an_hour_ago(email).await?.refresh_token);
    }
    deployment.dex.clock().rewind(HOUR);
    let answer = deployment.relayed_login(0, email).send().await;
    deployment.dex.clock().advance(HOUR);
    let answer = answer?;
    ensure!(answer.status == 200, "the login answers {answer:?}");
    Ok(answer.text("refresh_token"))
}

async fn send_until_dead(call: &RelayCall) -> anyhow::Result<()> {
    let limit = Instant::now() + DEADLINE;
    while let Ok(answer) = call.send().await {
        ensure!(
            answer.status == 503 && Instant::now() < limit,
            "it answers: {answer:?}"
        );
    }
    Ok(())
}

async fn send_until_settled(call: &RelayCall) -> anyhow::Result<Outcome> {
    let limit = Instant::now() + DEADLINE;
    loop {
        let answer = call.send().await?;
        match answer.status {
            200 => {
                return Ok(Outcome::Tokens(
                    answer.text("id_token"),
                    answer.text("refresh_token"),
                ));
            }
            400 => return Ok(Outcome::Words(answer.text("error"))),
            503 if Instant::now() < limit => tokio::time::sleep(PAUSE).await,
            _ => bail!("not settled within {DEADLINE:?}: {answer:?}"),
        }
    }
}

async fn ended_as(
    deployment: &Deployment<Processes>,
    email: &str,
    outcome: &Outcome,
    expected: Expected,
    name: &str,
) -> anyhow::Result<()> {
    let presented = || deployment.dex.counts_of(email).refreshes_presented;
    match (outcome, expected) {
        (Outcome::Tokens(id_token, refresh_token), Served(times)) => {
            assert_eq!(presented(), times, "{name}");
            // Servers' callers have the same login, and the client's next request finds it too.
            let served = deployment.ask(id_token).send().await?;
            assert_eq!(
                (served.status, served.token()),
                (200, id_token.as_str()),
                "{name}: {served:?}"
            );
            let again = deployment.relayed_refresh(0, refresh_token).send().await?;
            assert_eq!(
                (again.status, &again.text("refresh_token")),
                (200, refresh_token),
                "{name}"
            );
            assert_eq!(presented(), times, "{name}");
        }
        (Outcome::Words(error), Ended(least, most)) => {
            let dex = if name.starts_with("strict") {
                "invalid_grant"
            } else {
                "invalid_request"
            };
            assert!(error == dex || error == "invalid_request", "{name}: {error}");
            assert!((least..=most).contains(&presented()), "{name}: {}", presented());
        }
        other => panic!("{name}: {other:?}, presented {}", presented()),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_reuse_interval_of_a_minute_no_step_costs_a_client_its_login() -> anyhow::Result<()> {
    dies_at_each_step("tolerant", 60, |at| STEPS[at].2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reuse_only_an_answer_that_died_with_the_process_costs_a_client_its_login()
-> anyhow::Result<()> {
    dies_at_each_step("tolerant", 0, |at| STEPS[at].3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_strict_issuer_no_step_makes_a_clients_token_be_presented_twice() -> anyhow::Result<()> {
    dies_at_each_step("strict", 0, |at| STEPS[at].4).await
}
