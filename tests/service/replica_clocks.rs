//! A replica with a wrong clock: what it takes for stale affects it alone, and the others serve what is good.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, Endpoint, Failure};

use crate::deployment::{Deployment, Plan};

const AHEAD: i64 = 120;

/// Tokens of 150 s, of which a right clock uses ninety.
fn plan() -> Plan {
    Plan {
        dex: DexConfig::default()
            .id_token_lifetime(Duration::from_secs(150))
            .reuse_interval(Duration::from_secs(60)),
        ..Plan::default()
    }
}

#[tokio::test]
async fn a_replica_two_minutes_fast_makes_no_other_refuse_a_user() -> anyhow::Result<()> {
    let mut deployment = Deployment::start(plan()).await?;
    let fast = deployment.add_replica_ahead(AHEAD).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(91);
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    // What it refreshes is stale by its own clock; the login is not at fault, and neither is the issuer.
    let told = ask.clone().replica(fast).send().await?;
    assert_eq!(told.refusal(), (503, "answer_stale"), "{told:?}");
    assert!(told.text("error_description").contains("clock"), "{told:?}");
    for second in 0..200 {
        let answer = ask.send().await?;
        assert_eq!(answer.status, 200, "after {second} s: {answer:?}");
        deployment.advance(1);
    }
    Ok(())
}

#[tokio::test]
async fn a_fast_replica_rotates_a_refresh_token_at_most_twice_a_minute() -> anyhow::Result<()> {
    let mut deployment = Deployment::start(plan()).await?;
    let fast = deployment.add_replica_ahead(AHEAD).await?;
    let tokens = deployment.log_in("s-1").await?;
    let ask = deployment.ask(&tokens.id_token).replica(fast);
    for _ in 0..60 {
        let told = ask.send().await?;
        assert_eq!(told.refusal(), (503, "answer_stale"), "{told:?}");
        deployment.advance(1);
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_failure_that_a_fast_replica_noted_holds_the_others_up_for_no_longer_than_its_backoff()
-> anyhow::Result<()> {
    let mut deployment = Deployment::start(plan()).await?;
    let fast = deployment.add_replica_ahead(AHEAD).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(91);
    for failure in [
        Failure::CloseBeforeAnswer,
        Failure::answer(401, r#"{"error":"invalid_client"}"#),
    ] {
        deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
        let ask = deployment.ask(&tokens.id_token);
        let told = ask.clone().replica(fast).send().await?;
        assert!(told.status >= 500, "{told:?}");
        deployment.advance(1);
        let answer = ask.send().await?;
        assert_eq!(answer.status, 200, "{failure:?}: {answer:?}");
        deployment.advance(120);
    }
    Ok(())
}

#[tokio::test]
async fn tokens_that_live_no_longer_than_the_margin_are_the_operators_business_at_every_clock()
-> anyhow::Result<()> {
    let mut deployment = Deployment::start(Plan {
        dex: DexConfig::default().id_token_lifetime(Duration::from_secs(60)),
        settings: json!({"margin": "60s"}),
        ..Plan::default()
    })
    .await?;
    let slow = deployment.add_replica_ahead(-AHEAD).await?;
    let tokens = deployment.log_in("s-1").await?;
    let ask = deployment.ask(&tokens.id_token);
    let told = ask.send().await?;
    assert_eq!(told.refusal(), (500, "issuer_misconfigured"), "{told:?}");
    assert!(told.text("error_description").contains("margin"), "{told:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    // To a slow clock the very same token looks fresh: the server has the last word.
    assert_eq!(ask.clone().replica(slow).send().await?.status, 200);
    Ok(())
}
