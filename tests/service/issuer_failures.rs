//! What an issuer does wrong, and what becomes of the login: it stays while a retry can help, and never gets another
//! user's token.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, Endpoint, Failure};

use crate::deployment::{ADMIN, Deployment, Plan};

#[tokio::test]
async fn an_issuer_that_fails_is_called_with_backoff_and_no_login_is_lost() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::internal_error());
    for _ in 0..20 {
        let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(
        deployment.dex.counts().refreshes_presented,
        1,
        "its turn has not come yet"
    );
    assert_eq!(deployment.status("s-1").await?.text("state"), "active");
    deployment.dex.heal(Endpoint::Refresh);
    deployment.advance(61);
    assert_eq!(
        deployment
            .ask(&tokens.id_token)
            .session("s-1")
            .send()
            .await?
            .status,
        200
    );
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_fails_one_login_for_too_long_ends_it() -> anyhow::Result<()> {
    let settings = json!({"transient_limit": "5m"});
    let deployment = Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.set_upstream_broken(ADMIN, true);
    let mut last = deployment.ask(&tokens.id_token).send().await?;
    for _ in 0..5 {
        assert_eq!(last.refusal(), (503, "issuer_unavailable"));
        deployment.advance(61);
        last = deployment.ask(&tokens.id_token).send().await?;
    }
    assert_eq!(last.refusal(), (400, "needs_login"));
    let presented = deployment.dex.counts().refreshes_presented;
    assert_eq!(
        deployment.ask(&tokens.id_token).send().await?.refusal(),
        (400, "needs_login")
    );
    assert_eq!(deployment.dex.counts().refreshes_presented, presented);
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_never_ends_a_login() -> anyhow::Result<()> {
    let settings = json!({"transient_limit": "5m"});
    let deployment = Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    // The keys are known from the login.
    deployment.advance(301);
    deployment.dex.set_down(true);
    for _ in 0..30 {
        let answer = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
        deployment.advance(61);
    }
    deployment.dex.set_down(false);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_client_that_the_issuer_refuses_is_the_operators_business() -> anyhow::Result<()> {
    let client = ("muster".to_owned(), "wrong".to_owned());
    let deployment = Deployment::start(Plan {
        client,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    for _ in 0..5 {
        let answer = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(answer.refusal(), (500, "issuer_misconfigured"));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    assert_eq!(deployment.status("s-1").await?.text("state"), "active");
    Ok(())
}

#[tokio::test]
async fn anothers_token_in_the_answer_is_never_handed_out() -> anyhow::Result<()> {
    for failure in [
        Failure::OtherSubject,
        Failure::OtherIssuer,
        Failure::OtherAudience,
    ] {
        let deployment = Deployment::start(Plan::default()).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
        let answer = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(answer.refusal(), (500, "substitution"), "{failure:?}");
        let again = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(again.refusal(), (500, "substitution"), "{failure:?}");
        assert_eq!(deployment.dex.counts().refreshes_presented, 1);
        // The rotated refresh token was stored all the same: the login goes on.
        deployment.advance(31);
        assert_eq!(
            deployment.ask(&tokens.id_token).send().await?.status,
            200,
            "{failure:?}"
        );
        assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_without_a_refresh_token_leaves_the_old_one_in_use() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::DropRefreshToken);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    deployment.advance(301);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    let presentations = deployment.dex.presentations();
    assert_eq!(presentations.len(), 2);
    assert_eq!(presentations[0].fingerprint, presentations[1].fingerprint);
    Ok(())
}

#[tokio::test]
async fn an_answer_without_an_id_token_is_the_operators_business_and_loses_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::NoIdToken);
    let answer = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(answer.refusal(), (500, "issuer_misconfigured"));
    assert!(answer.text("error_description").contains("openid"));
    deployment.advance(31);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_tried_again_at_dex_and_never_at_a_strict_issuer() -> anyhow::Result<()> {
    for (policy, reuse_seconds, refusal, presented) in [
        ("tolerant", 120, (503, "issuer_unavailable"), 2),
        ("strict", 0, (400, "needs_login"), 1),
    ] {
        let dex = DexConfig::default()
            .id_token_lifetime(Duration::from_secs(300))
            .reuse_interval(Duration::from_secs(reuse_seconds));
        let deployment = Deployment::start(Plan {
            dex,
            policy,
            ..Plan::default()
        })
        .await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        deployment
            .dex
            .fail_next(Endpoint::Refresh, 1, &Failure::CloseAfterCommit);
        assert_eq!(
            deployment.ask(&tokens.id_token).send().await?.refusal(),
            refusal,
            "{policy}"
        );
        deployment.advance(30);
        let again = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(
            again.status,
            if policy == "strict" { 400 } else { 200 },
            "{policy}"
        );
        assert_eq!(deployment.dex.counts().refreshes_presented, presented, "{policy}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_lives_no_longer_than_the_margin_is_not_refreshed_for_every_caller() -> anyhow::Result<()>
{
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.dex.set_id_token_lifetime(Duration::from_secs(50));
    deployment.advance(301);
    for _ in 0..10 {
        let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
        assert_eq!(answer.refusal(), (500, "issuer_misconfigured"));
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    // An operator fixes it.
    deployment.dex.set_id_token_lifetime(Duration::from_secs(300));
    deployment.advance(31);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_was_lost_is_remembered_as_the_reason_when_the_token_turns_out_to_be_used_up()
-> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::CloseAfterCommit);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::internal_error());
    for _ in 0..2 {
        let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
        deployment.advance(61);
    }
    let ended = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(ended.refusal(), (400, "needs_login"));
    assert!(
        ended.text("error_description").contains("reuseInterval"),
        "{ended:?}"
    );
    assert_eq!(deployment.dex.counts().refreshes_presented, 3);
    Ok(())
}
