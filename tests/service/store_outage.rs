//! A store that does not answer: 503, never a sign-out, and no rotated token lost.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_harness::parts::Metrics;

use crate::deployment::{Deployment, Plan};

/// #582 of mcp-oauth: requests hung while Valkey was away. #1229: it was late, and memory took its place.
#[tokio::test]
async fn an_outage_is_503_everywhere_and_over_when_it_is_over() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.store().set_off(true);
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    let answers = [
        ask.send().await?,
        deployment.put_login("s-1", &tokens).await?,
        deployment.status("s-1").await?,
        deployment.end("s-1").await?,
        deployment
            .sign_out(&deployment.dex.subject(crate::deployment::ADMIN))
            .await?,
    ];
    for answer in answers {
        assert_eq!(answer.refusal(), (503, "store_unavailable"), "{answer:?}");
        assert_eq!(answer.text("error"), "temporarily_unavailable");
        assert!(answer.header("retry-after").is_some());
        assert!(answer.header("x-tokenward-control").is_some());
        assert!(!answer.body.to_string().contains("switched off"));
    }
    let ready = deployment.get("/readyz").await?;
    assert_eq!((ready.status, ready.text("status")), (503, "unavailable"));
    assert!(!ready.text("cause").is_empty());
    assert_eq!(deployment.get("/livez").await?.status, 200);
    let metrics = deployment
        .http
        .get(format!("{}/metrics", deployment.urls[0]))
        .send()
        .await?
        .text()
        .await?;
    let failed_reads =
        Metrics::read(&metrics).count("tokenward_store_errors_total", &[("operation", "read")]);
    assert!(failed_reads > 0, "{metrics}");
    deployment.store().set_off(false);
    assert_eq!(deployment.get("/readyz").await?.status, 200);
    assert_eq!(ask.send().await?.token(), tokens.id_token);
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    Ok(())
}

/// #1233: nothing takes the place of the store.
#[tokio::test]
async fn without_the_store_no_refresh_token_is_presented() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.store().set_off(true);
    for _ in 0..5 {
        let answer = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(answer.refusal(), (503, "store_unavailable"));
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    deployment.store().set_off(false);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_rotated_token_that_cannot_be_stored_is_stored_when_the_store_is_back() -> anyhow::Result<()> {
    let settings = json!({"caller_deadline": "5s"});
    let deployment = Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token);
    let (answer, ()) = tokio::join!(ask.send(), async {
        deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        deployment.store().set_off(true);
        deployment.dex.release(Endpoint::Refresh);
        deployment.store().wait_for_failures(2).await;
    });
    assert_eq!(answer?.refusal(), (503, "store_unavailable"));
    assert!(deployment.store().failures() >= 2);
    deployment.store().set_off(false);
    assert!(deployment.service(0).drain(Duration::from_secs(30)).await);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    // And the stored token is the rotated one.
    deployment.advance(301);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn an_announcement_whose_answer_was_lost_is_no_presentation() -> anyhow::Result<()> {
    for policy in ["strict", "tolerant"] {
        let deployment = Deployment::start(Plan {
            policy,
            ..Plan::default()
        })
        .await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        let ask = deployment.ask(&tokens.id_token);
        for _ in 0..3 {
            deployment.store().lose_answers(1);
            assert_eq!(
                ask.send().await?.refusal(),
                (503, "store_unavailable"),
                "{policy}"
            );
            assert_eq!(deployment.dex.counts().refreshes_presented, 0);
        }
        assert_eq!(ask.send().await?.status, 200, "{policy}");
        assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_was_answered_but_not_written_down_costs_no_login_at_a_strict_issuer()
-> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        policy: "strict",
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::too_many_requests(1));
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token);
    let (answer, ()) = tokio::join!(ask.send(), async {
        deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        deployment.store().set_off(true);
        deployment.dex.release(Endpoint::Refresh);
    });
    assert_eq!(answer?.status, 503);
    assert!(deployment.service(0).drain(Duration::from_secs(30)).await);
    deployment.store().set_off(false);
    // Neither could the lease be released; it is once the store answers, and the issuer is called a second time.
    deployment.advance(2);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn lost_answers_to_the_commit_store_the_rotated_token_once() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        policy: "strict",
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    for round in 1..=3 {
        deployment.advance(301);
        deployment.dex.hold(Endpoint::Refresh);
        let ask = deployment.ask(&tokens.id_token);
        let (answer, ()) = tokio::join!(ask.send(), async {
            deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
            deployment.store().lose_answers(3);
            deployment.dex.release(Endpoint::Refresh);
        });
        assert_eq!(answer?.status, 200);
        let counts = deployment.dex.counts();
        assert_eq!(
            (counts.refreshes_presented, counts.refreshes_succeeded),
            (round, round)
        );
    }
    Ok(())
}
