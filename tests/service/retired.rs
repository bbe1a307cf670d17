//! A refresh token that is known to be dead is refused without a call to the issuer, also after the session was ended and
//! the same login is put again.

use tokenward_harness::issuer::{FakeDex, LoginTokens};

use crate::deployment::{ADMIN, Deployment, Plan};

/// The session is ended, and the aggregator puts again what the login once gave it.
async fn put_again(deployment: &Deployment, tokens: &LoginTokens) -> anyhow::Result<()> {
    assert_eq!(deployment.end("s-1").await?.status, 204);
    let put = deployment.put_login("s-1", tokens).await?;
    assert_eq!((put.status, put.text("state")), (201, "needs_login"));
    Ok(())
}

async fn assert_needs_login_unasked(
    deployment: &Deployment,
    token: &str,
    asked: usize,
) -> anyhow::Result<()> {
    for _ in 0..20 {
        let answer = deployment.ask(token).session("s-1").send().await?;
        assert_eq!(answer.refusal(), (400, "needs_login"));
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, asked);
    Ok(())
}

fn revoked(dex: &FakeDex) -> bool {
    dex.revoke(ADMIN, "muster")
}

#[tokio::test]
async fn a_dead_login_that_is_put_again_after_its_end_stays_dead_without_a_question() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    assert!(revoked(&deployment.dex));
    assert_needs_login_unasked(&deployment, &tokens.id_token, 1).await?;
    for _ in 0..3 {
        put_again(&deployment, &tokens).await?;
        assert_needs_login_unasked(&deployment, &tokens.id_token, 1).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_rotated_login_that_is_put_again_after_its_end_is_dead_without_a_question() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    put_again(&deployment, &tokens).await?;
    assert_needs_login_unasked(&deployment, &tokens.id_token, 1).await
}

#[tokio::test]
async fn a_new_login_after_a_dead_one_is_served() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    assert!(revoked(&deployment.dex));
    assert_needs_login_unasked(&deployment, &tokens.id_token, 1).await?;
    put_again(&deployment, &tokens).await?;
    let back = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let answer = deployment.ask(&back.id_token).session("s-1").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    // And the dead one does not come back over it.
    let put = deployment.put_login("s-1", &tokens).await?;
    assert_eq!(put.text("state"), "active");
    Ok(())
}

#[tokio::test]
async fn an_unused_login_that_is_put_again_after_its_end_is_served() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    assert_eq!(deployment.end("s-1").await?.status, 204);
    let put = deployment.put_login("s-1", &tokens).await?;
    assert_eq!((put.status, put.text("state")), (201, "active"));
    deployment.advance(301);
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(
        (answer.status, deployment.dex.counts().refreshes_presented),
        (200, 1)
    );
    Ok(())
}
