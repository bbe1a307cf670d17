//! A replica that dies between presenting a refresh token and keeping the answer.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, Endpoint};

use crate::deployment::{Deployment, Plan};

struct AfterCrash {
    deployment: Deployment,
    token: String,
    heir: usize,
}

/// Two replicas; the one dies while its refresh is under way at the issuer, which then finishes it.
async fn crash(policy: &'static str, reuse_interval: Duration) -> anyhow::Result<AfterCrash> {
    let dex = DexConfig::default()
        .id_token_lifetime(Duration::from_secs(300))
        .reuse_interval(reuse_interval);
    let mut deployment = Deployment::start(Plan {
        dex,
        policy,
        // A caller that comes while the dead replica's lease lasts waits this long.
        settings: json!({"caller_deadline": "4s"}),
        ..Plan::default()
    })
    .await?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let doomed = deployment.add_replica_on(runtime.handle()).await?;
    let heir = deployment.add_replica().await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token).replica(doomed);
    let (answer, ()) = tokio::join!(ask.send(), async {
        deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        runtime.shutdown_background();
    });
    assert!(answer.is_err(), "the replica is gone: {answer:?}");
    deployment.dex.release(Endpoint::Refresh);
    Ok(AfterCrash {
        deployment,
        token: tokens.id_token,
        heir,
    })
}

/// Until the dead replica's lease is over no replica presents anything.
async fn wait_for_the_lease(after: &AfterCrash) -> anyhow::Result<()> {
    let presented = after.deployment.dex.counts().refreshes_presented;
    let early = after
        .deployment
        .ask(&after.token)
        .replica(after.heir)
        .send()
        .await?;
    assert_eq!(early.refusal(), (503, "busy"));
    assert_eq!(after.deployment.dex.counts().refreshes_presented, presented);
    after.deployment.advance(120);
    // The flight that waits for the lease ends first.
    assert!(
        after
            .deployment
            .service(after.heir)
            .drain(Duration::from_secs(30))
            .await
    );
    Ok(())
}

#[tokio::test]
async fn at_a_strict_issuer_the_token_is_never_presented_twice() -> anyhow::Result<()> {
    let after = crash("strict", Duration::ZERO).await?;
    wait_for_the_lease(&after).await?;
    for _ in 0..3 {
        let answer = after
            .deployment
            .ask(&after.token)
            .replica(after.heir)
            .send()
            .await?;
        assert_eq!(answer.refusal(), (400, "needs_login"));
    }
    assert_eq!(after.deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn at_a_tolerant_issuer_the_login_goes_on_inside_the_reuse_interval() -> anyhow::Result<()> {
    let after = crash("tolerant", Duration::from_secs(600)).await?;
    wait_for_the_lease(&after).await?;
    let answer = after
        .deployment
        .ask(&after.token)
        .replica(after.heir)
        .send()
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    after.deployment.advance(301);
    assert_eq!(
        after
            .deployment
            .ask(&after.token)
            .replica(after.heir)
            .send()
            .await?
            .status,
        200
    );
    Ok(())
}

#[tokio::test]
async fn the_heir_of_a_dead_replica_comes_inside_a_reuse_interval_of_a_minute() -> anyhow::Result<()> {
    let after = crash("tolerant", Duration::from_secs(60)).await?;
    // The default lease of 15 s, and no more than it.
    after.deployment.advance(16);
    let answer = after
        .deployment
        .ask(&after.token)
        .replica(after.heir)
        .send()
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(after.deployment.dex.counts().refreshes_presented, 2);
    assert_eq!(after.deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn without_a_reuse_interval_the_login_ends_with_the_reason_and_the_issuer_is_not_called_again()
-> anyhow::Result<()> {
    let after = crash("tolerant", Duration::ZERO).await?;
    after.deployment.advance(120);
    for _ in 0..3 {
        let answer = after
            .deployment
            .ask(&after.token)
            .replica(after.heir)
            .send()
            .await?;
        assert_eq!(answer.refusal(), (400, "needs_login"));
        assert!(
            answer.text("error_description").contains("reuseInterval"),
            "{answer:?}"
        );
    }
    assert_eq!(after.deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}
