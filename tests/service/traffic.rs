//! Calls to an issuer that fails every login are suspended; one login that fails affects no other.

use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_control::serve::reload::apply;
use tokenward_harness::issuer::{DexConfig, DexUser, Endpoint, Failure};
use tokenward_harness::parts::Metrics;

use crate::deployment::{AGGREGATOR, Deployment, Plan};

fn email(number: usize) -> String {
    format!("user-{number}@example.com")
}

struct Crowd {
    deployment: Deployment,
    tokens: Vec<String>,
}

/// So many users, logged in, with stale tokens.
async fn crowd(users: usize) -> anyhow::Result<Crowd> {
    let mut dex = DexConfig::default().id_token_lifetime(Duration::from_secs(300));
    for number in 0..users {
        dex = dex.user(DexUser::new(&email(number)));
    }
    let deployment = Deployment::start(Plan {
        dex,
        settings: json!({"issuer_timeout": "20s", "caller_deadline": "10s"}),
        ..Plan::default()
    })
    .await?;
    let mut tokens = Vec::new();
    for number in 0..users {
        tokens.push(
            deployment
                .log_in_as(&format!("s-{number}"), &email(number))
                .await?
                .id_token,
        );
    }
    deployment.advance(301);
    Ok(Crowd { deployment, tokens })
}

pub(crate) async fn metrics(deployment: &Deployment) -> anyhow::Result<Metrics> {
    let answer = deployment
        .http
        .get(format!("{}/metrics", deployment.urls[0]))
        .send()
        .await?;
    Ok(Metrics::read(&answer.text().await?))
}

#[tokio::test]
async fn calls_to_an_issuer_that_fails_every_login_are_suspended_and_resumed_by_one_probe()
-> anyhow::Result<()> {
    let Crowd { deployment, tokens } = crowd(20).await?;
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::answer(502, "<html>"));
    for token in &tokens {
        let answer = deployment.ask(token).send().await?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 5);
    let open = [("issuer", deployment.dex.issuer())];
    let held = [("issuer", deployment.dex.issuer()), ("reason", "circuit")];
    let seen = metrics(&deployment).await?;
    assert_eq!(seen.count("tokenward_issuer_circuit_open", &open), 1);
    assert_eq!(seen.count("tokenward_issuer_calls_held_back_total", &held), 15);
    // Still down when the probe comes: one call, however many callers there are.
    deployment.advance(6);
    for token in &tokens[5..] {
        assert_eq!(
            deployment.ask(token).send().await?.refusal(),
            (503, "issuer_unavailable")
        );
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 6);
    deployment.dex.heal(Endpoint::Refresh);
    deployment.advance(61);
    for token in &tokens {
        assert_eq!(deployment.ask(token).send().await?.status, 200);
    }
    assert_eq!(
        metrics(&deployment)
            .await?
            .count("tokenward_issuer_circuit_open", &open),
        0
    );
    Ok(())
}

#[tokio::test]
async fn logins_that_are_dead_or_fail_alone_hold_no_other_back() -> anyhow::Result<()> {
    let Crowd { deployment, tokens } = crowd(20).await?;
    // Ten are dead: the issuer answers, so nothing is wrong with it.
    for number in 0..10 {
        assert!(deployment.dex.revoke(&email(number), "muster"));
    }
    for token in &tokens[..10] {
        assert_eq!(
            deployment.ask(token).send().await?.refusal(),
            (400, "needs_login")
        );
    }
    // One fails indefinitely behind its connector.
    deployment.dex.set_upstream_broken(&email(10), true);
    for _ in 0..10 {
        assert_eq!(
            deployment.ask(&tokens[10]).send().await?.refusal(),
            (503, "issuer_unavailable")
        );
        deployment.advance(61);
    }
    for token in &tokens[11..] {
        assert_eq!(deployment.ask(token).send().await?.status, 200);
    }
    let held = metrics(&deployment).await?;
    assert_eq!(held.count("tokenward_issuer_calls_held_back_total", &[]), 0);
    Ok(())
}

#[tokio::test]
async fn at_most_thirty_two_calls_are_under_way_and_the_others_get_a_retry_after() -> anyhow::Result<()> {
    let Crowd { deployment, tokens } = crowd(50).await?;
    deployment.dex.hold(Endpoint::Refresh);
    let asks: Vec<_> = tokens.iter().map(|token| deployment.ask(token)).collect();
    let (answers, presented) = tokio::join!(
        crate::deployment::at_once(asks.iter().map(|ask| ask.send())),
        async {
            deployment.dex.wait_until_held(Endpoint::Refresh, 32).await;
            let limit = Instant::now() + Duration::from_secs(20);
            while queue_was_full(&deployment).await? < 18 {
                anyhow::ensure!(Instant::now() < limit, "no call was held back");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let presented = deployment.dex.counts().refreshes_presented;
            deployment.dex.release(Endpoint::Refresh);
            anyhow::Ok(presented)
        }
    );
    assert_eq!(presented?, 32);
    let mut by_status = std::collections::BTreeMap::new();
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status == 503, answer.header("retry-after").is_some());
        *by_status.entry(answer.status).or_insert(0) += 1;
    }
    assert_eq!(by_status, [(200, 32), (503, 18)].into());
    assert_eq!(deployment.dex.counts().refreshes_presented, 32);
    Ok(())
}

async fn queue_was_full(deployment: &Deployment) -> anyhow::Result<u64> {
    let full = [("reason", "queue")];
    Ok(metrics(deployment)
        .await?
        .count("tokenward_issuer_calls_held_back_total", &full))
}

async fn explained(deployment: &Deployment, session: &str) -> anyhow::Result<serde_json::Value> {
    let url = format!("{}/v1/explain?server=kubernetes", deployment.urls[0]);
    let request = deployment
        .http
        .get(url)
        .bearer_auth(AGGREGATOR)
        .header("x-tokenward-session", session);
    let answer = deployment.request(request).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Ok(answer.body)
}

#[tokio::test]
async fn a_reload_leaves_the_circuit_of_a_failing_issuer_open_and_explain_states_until_when()
-> anyhow::Result<()> {
    let Crowd { deployment, tokens } = crowd(6).await?;
    // The sixth was never refused: only the breaker stands between it and the issuer.
    assert_eq!(explained(&deployment, "s-5").await?["next"], "refresh");
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::answer(502, "<html>"));
    for token in &tokens[..5] {
        assert_eq!(deployment.ask(token).send().await?.status, 503);
    }
    let config = deployment.changed(|document| document["margin"] = json!("61s"))?;
    apply(deployment.service(0), config)?;
    let answer = deployment.ask(&tokens[5]).send().await?;
    assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
    assert_eq!(deployment.dex.counts().refreshes_presented, 5);
    let held = explained(&deployment, "s-5").await?;
    assert_eq!(
        (&held["next"], &held["refusal"]),
        (&json!("refuse"), &json!("issuer_unavailable"))
    );
    assert!(held["grant"]["breaker_open_until"].is_u64(), "{held}");
    deployment.dex.heal(Endpoint::Refresh);
    deployment.advance(6);
    let open_no_more = explained(&deployment, "s-5").await?;
    assert_eq!(open_no_more["next"], "refresh");
    assert!(open_no_more["grant"]["breaker_open_until"].is_null());
    assert_eq!(deployment.ask(&tokens[5]).send().await?.status, 200);
    Ok(())
}
