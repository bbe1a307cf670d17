//! Floods: they are answered with the right refusal and cost no issuer anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, DexUser};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::deployment::{ADMIN, Deployment, FILTER, Plan, at_once, basic};

const UNKNOWN_SESSIONS: usize = 10_000;
/// Clients that present them at the same time.
const CLIENTS: usize = 64;
/// 2,000 requests in waves of 500 at the same time.
const WAVES: usize = 4;
const WAVE: usize = 500;
/// The answer comes at once on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// One client that names unknown sessions, over connections of its own; how often it was refused.
async fn call_with_unknown_sessions(url: String, forms: Vec<String>) -> anyhow::Result<usize> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let caller = basic("filter", FILTER);
    let mut refused = 0;
    for form in forms {
        let request = http.post(&url).header("authorization", &caller);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(form).send().await?;
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await?;
        anyhow::ensure!(
            (status, body["refusal"].as_str()) == (400, Some("unknown_session")),
            "{status}: {body}"
        );
        refused += 1;
    }
    Ok(refused)
}

/// As many as are to be held off in a second, as fast as this machine sends them. A build that is not optimised, with its
/// clients in the same process on two cores, takes some seconds for them: what is asserted is their number, that none of
/// them costs the issuer anything, and that no other caller waits; the rate is printed.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_sessions_are_refused_without_a_call_to_an_issuer() -> anyhow::Result<()> {
    let bob = "bob@example.com";
    let deployment = Deployment::start(Plan {
        dex: DexConfig::default()
            .id_token_lifetime(Duration::from_secs(300))
            .user(DexUser::new(bob)),
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    // Stale, so that a call that got through would cause a refresh; the known session's is fresh.
    deployment.advance(301);
    let known = deployment.log_in_as("s-2", bob).await?;
    let before = deployment.dex.counts();
    let begun = Instant::now();
    let mut flood = JoinSet::new();
    for client in 0..CLIENTS {
        let forms = (client..UNKNOWN_SESSIONS).step_by(CLIENTS).map(|number| {
            let session = format!("unknown-{number}");
            deployment.ask(&tokens.id_token).session(&session).form()
        });
        let url = format!("{}/oauth2/token", deployment.urls[0]);
        flood.spawn(call_with_unknown_sessions(url, forms.collect()));
    }
    let (mut refused, mut waits) = (0, Vec::new());
    while !flood.is_empty() {
        let asked = Instant::now();
        let answer = deployment.ask(&known.id_token).session("s-2").send().await?;
        assert_eq!((answer.status, answer.token()), (200, known.id_token.as_str()));
        waits.push(asked.elapsed());
        while let Some(client) = flood.try_join_next() {
            refused += client??;
        }
    }
    let took = begun.elapsed();
    waits.sort_unstable();
    println!(
        "{:.0} unknown sessions a second; beside them {} answers, half of them within {:?}",
        UNKNOWN_SESSIONS as f64 / took.as_secs_f64(),
        waits.len(),
        waits[waits.len() / 2]
    );
    assert_eq!(refused, UNKNOWN_SESSIONS);
    assert!(waits.len() >= 10, "answered in the middle of it: {waits:?}");
    assert_eq!(deployment.dex.counts(), before, "the issuer heard of it");
    // The session of the token that they all presented is served as before, with the one refresh that it needs.
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
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
                // The last one where a busy machine makes it wait too long for the keys.
                (400, "subject_rejected") | (503, "issuer_unavailable" | "busy")
            ),
            "{count} × {status} {refusal}"
        );
    }
    let after = deployment.dex.counts();
    assert_eq!(after.key_fetches - before.key_fetches, 1, "one in ten seconds");
    assert_eq!(after.refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_also_when_its_length_is_not_announced() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let answer = deployment
        .post_form(0, &basic("filter", FILTER), &"x".repeat(96 * 1024 + 1))
        .await?;
    assert_eq!(answer.refusal(), (413, "bad_request"));
    assert_eq!(answer.header("connection"), Some("close"), "the rest is not read");
    let body = json!({"issuer": "x".repeat(220 * 1024)});
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
    for _ in 0..25 {
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
