//! Floods: they are answered with the right refusal and cost no issuer anything.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deployment::{ADMIN, Deployment, FILTER, Plan, at_once, basic};

/// 2,000 requests in waves of 500 at the same time.
const WAVES: usize = 4;
const WAVE: usize = 500;
/// The answer comes at once, well before `intake.deadline`.
const PATIENCE: Duration = Duration::from_secs(8);

async fn deployment() -> anyhow::Result<Deployment> {
    let settings = json!({"intake": {"connections": 2048}});
    Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await
}

/// How many answers of each status and refusal there were.
async fn flooded(
    deployment: &Deployment,
    token: &(impl Fn(usize) -> String + Sync),
) -> anyhow::Result<BTreeMap<(u16, String), usize>> {
    let mut answers = BTreeMap::new();
    for wave in 0..WAVES {
        let asks = (0..WAVE).map(|caller| async move {
            let number = wave * WAVE + caller;
            let session = format!("unknown-{number}");
            let token = token(number);
            deployment.ask(&token).session(&session).send().await
        });
        for answer in at_once(asks).await {
            let answer = answer?;
            let (status, refusal) = answer.refusal();
            *answers.entry((status, refusal.to_owned())).or_default() += 1;
        }
    }
    Ok(answers)
}

#[tokio::test]
async fn two_thousand_unknown_sessions_are_refused_and_no_issuer_hears_of_them() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let tokens = deployment.log_in("s-1").await?;
    // Stale, so that whoever got through would cause a refresh.
    deployment.advance(301);
    let before = deployment.dex.counts();
    let answers = flooded(&deployment, &|_| tokens.id_token.clone()).await?;
    assert_eq!(
        answers,
        BTreeMap::from([((400, "unknown_session".to_owned()), WAVES * WAVE)])
    );
    assert_eq!(deployment.dex.counts(), before, "the issuer heard of it");
    // Whoever is known is served as before.
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn two_thousand_tokens_by_unknown_keys_cost_the_issuer_one_fetch_of_its_keys() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    deployment.log_in("s-1").await?;
    deployment.advance(11);
    let before = deployment.dex.counts();
    let forged = deployment
        .dex
        .mint(ADMIN, "muster")
        .expires_in_seconds(-20)
        .unknown_key_id()
        .token();
    let answers = flooded(&deployment, &|_| forged.clone()).await?;
    assert_eq!(answers.values().sum::<usize>(), WAVES * WAVE);
    for ((status, refusal), count) in answers {
        assert!(
            matches!(
                (status, refusal.as_str()),
                (400, "subject_rejected") | (503, "issuer_unavailable")
            ),
            "{count} × {status} {refusal}"
        );
    }
    let after = deployment.dex.counts();
    assert_eq!(after.key_fetches, before.key_fetches + 1);
    assert_eq!(after.refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_also_when_its_length_is_not_announced() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let answer = deployment
        .post_form(0, &basic("filter", FILTER), &"x".repeat(64 * 1024 + 1))
        .await?;
    assert_eq!(answer.refusal(), (413, "bad_request"));
    assert_eq!(answer.header("connection"), Some("close"), "the rest is not read");
    let body = json!({"issuer": "x".repeat(64 * 1024)});
    assert_eq!(deployment.put_body("s-1", &body).await?.status, 413);

    let mut stream = TcpStream::connect(deployment.urls[0].trim_start_matches("http://")).await?;
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: control\r\nauthorization: {}\r\ntransfer-encoding: chunked\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n",
        basic("filter", FILTER)
    );
    stream.write_all(head.as_bytes()).await?;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    // One chunk too many; the end of the body never comes.
    for _ in 0..17 {
        stream.write_all(chunk.as_bytes()).await?;
    }
    let mut answer = [0_u8; 1024];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    // A session handle that is too long never reaches the store.
    let long = "s".repeat(513);
    assert_eq!(deployment.status(&long).await?.refusal(), (400, "bad_request"));
    Ok(())
}
