//! Refresh: exactly one, never lost, never of a dead login, never of a fresh token.

use serde_json::json;
use std::time::Duration;
use tokenward_harness::issuer::{DexConfig, Endpoint, Failure};
use tokenward_protocol::token_endpoint::Reason;

use crate::deployment::{ADMIN, Deployment, Plan, at_once};

#[tokio::test]
async fn a_stale_token_is_replaced_by_a_fresh_one_with_one_refresh() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(250);
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(answer.token(), tokens.id_token);
    assert_eq!(
        answer.text("issued_token_type"),
        "urn:ietf:params:oauth:token-type:id_token"
    );
    assert_eq!(answer.text("token_type"), "Bearer");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(
        answer.body["expires_in"]
            .as_u64()
            .is_some_and(|seconds| (298..=300).contains(&seconds))
    );
    assert!(answer.body["expires_at"].is_u64());
    // The same question again is answered from the store.
    let again = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(again.token(), answer.token());
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_hundred_callers_of_three_replicas_on_the_embedded_store_cause_one_refresh() -> anyhow::Result<()> {
    a_hundred_callers_cause_one_refresh(false).await
}

#[tokio::test]
async fn a_hundred_callers_of_three_replicas_on_valkey_cause_one_refresh() -> anyhow::Result<()> {
    a_hundred_callers_cause_one_refresh(true).await
}

async fn a_hundred_callers_cause_one_refresh(valkey: bool) -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        replicas: 3,
        valkey,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .set_latency(Endpoint::Refresh, Duration::from_millis(300));
    let asks: Vec<_> = (0..100)
        .map(|caller| deployment.ask(&tokens.id_token).replica(caller % 3))
        .collect();
    let answers = at_once(asks.iter().map(|ask| ask.send())).await;
    let mut distinct = std::collections::HashSet::new();
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
        distinct.insert(answer.token().to_owned());
    }
    assert_eq!(distinct.len(), 1);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

/// #977: a refresh a second rotated a token until it was taken for stolen.
#[tokio::test]
async fn what_is_fresh_is_never_refreshed_whatever_is_presented() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    for _ in 0..5 {
        let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
        assert_eq!(answer.token(), tokens.id_token);
    }
    let ahead = deployment
        .ask(&tokens.id_token)
        .reason(Reason::NearExpiry)
        .send()
        .await?;
    assert_eq!(ahead.token(), tokens.id_token);
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn near_expiry_refreshes_ahead_and_falls_back_to_the_stored_token() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    // 300 s of life, margin 60 s, ahead 60 s before that.
    deployment.advance(190);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::internal_error());
    let failed = deployment
        .ask(&tokens.id_token)
        .reason(Reason::NearExpiry)
        .send()
        .await?;
    assert_eq!((failed.status, failed.token()), (200, tokens.id_token.as_str()));
    deployment.advance(5);
    let ahead = deployment
        .ask(&tokens.id_token)
        .reason(Reason::NearExpiry)
        .send()
        .await?;
    assert_eq!(ahead.status, 200);
    assert_ne!(ahead.token(), tokens.id_token);
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_rejected_token_is_replaced_at_most_once_in_the_interval() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    let young = deployment
        .ask(&tokens.id_token)
        .reason(Reason::Rejected)
        .send()
        .await?;
    assert_eq!(young.refusal(), (503, "busy"));
    assert!(young.header("retry-after").is_some());
    deployment.advance(31);
    let replaced = deployment
        .ask(&tokens.id_token)
        .reason(Reason::Rejected)
        .send()
        .await?;
    assert_eq!(replaced.status, 200);
    assert_ne!(replaced.token(), tokens.id_token);
    // Others still report the older token: the newer one is the answer, without a refresh.
    let again = deployment
        .ask(&tokens.id_token)
        .reason(Reason::Rejected)
        .send()
        .await?;
    assert_eq!(again.token(), replaced.token());
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_replacement_that_a_server_rejects_is_replaced_too() -> anyhow::Result<()> {
    let plan = Plan {
        dex: DexConfig::default().id_token_lifetime(Duration::from_secs(1_800)),
        ..Plan::default()
    };
    let deployment = Deployment::start(plan).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(1_801);
    let replacement = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(replacement.status, 200);
    // The issuer withdraws the key that signed it: the request can only name the token that the client presents.
    deployment.advance(301);
    let rejected = deployment.ask(&tokens.id_token).reason(Reason::Rejected);
    let another = rejected.send().await?;
    assert_eq!(another.status, 200);
    assert_ne!(another.token(), replacement.token());
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_dead_grant_is_never_presented_again_until_a_new_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        replicas: 2,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    assert!(deployment.dex.revoke(ADMIN, "muster"));
    deployment.advance(301);
    for replica in [0, 1, 0, 1, 0] {
        let answer = deployment
            .ask(&tokens.id_token)
            .session("s-1")
            .replica(replica)
            .send()
            .await?;
        assert_eq!(answer.refusal(), (400, "needs_login"));
        assert_eq!(answer.text("error"), "invalid_grant");
        assert_eq!(answer.header("retry-after"), None);
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    assert_eq!(deployment.status("s-1").await?.text("state"), "needs_login");
    // The aggregator restarts and puts what it has: that is no new login.
    let put = deployment.put_login("s-1", &tokens).await?;
    assert_eq!((put.status, put.text("state")), (200, "needs_login"));
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.refusal(), (400, "needs_login"));
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    // A person logs in.
    deployment.log_in("s-1").await?;
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_secret_with_odd_letters_reaches_the_issuer_as_it_is() -> anyhow::Result<()> {
    let secret = "a+b/c%d=e:f&g h~";
    let deployment = Deployment::start(Plan {
        dex: DexConfig::default()
            .id_token_lifetime(Duration::from_secs(300))
            .client(tokenward_harness::issuer::DexClient::new("odd:client+id", secret)),
        client: ("odd:client+id".to_owned(), secret.to_owned()),
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 1);
    Ok(())
}

#[tokio::test]
async fn callers_that_leave_or_lose_patience_cancel_nothing() -> anyhow::Result<()> {
    let settings = json!({"caller_deadline": "3s"});
    let deployment = Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token);
    // It leaves as soon as the refresh is under way.
    tokio::select! {
        biased;
        () = deployment.dex.wait_until_held(Endpoint::Refresh, 1) => {}
        answer = ask.send() => panic!("it did not leave: {answer:?}"),
    }
    assert_eq!(ask.send().await?.refusal(), (503, "busy"));
    deployment.dex.release(Endpoint::Refresh);
    assert!(deployment.service(0).drain(Duration::from_secs(30)).await);
    let answer = ask.send().await?;
    assert_eq!(answer.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_login_during_a_refresh_wins_and_the_late_answer_is_dropped() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let first = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&first.id_token);
    let (answer, second) = tokio::join!(ask.send(), async {
        deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        let second = deployment.log_in("s-1").await;
        deployment.dex.release(Endpoint::Refresh);
        second
    });
    let (answer, second) = (answer?, second?);
    // Dex ended the first login's refresh token with the second login; the caller gets the second login's token.
    assert_eq!((answer.status, answer.token()), (200, second.id_token.as_str()));
    assert_eq!(deployment.status("s-1").await?.body["generation"], 2);
    deployment.advance(301);
    assert_eq!(deployment.ask(&second.id_token).send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_filter_with_a_larger_margin_gets_its_fresh_token_too() -> anyhow::Result<()> {
    let settings = json!({"margin": "2s"});
    let deployment = Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(245);
    let answer = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(answer.status, 200);
    assert_ne!(answer.token(), tokens.id_token);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

/// What an attempt has written it does not read again: after the issuer's answer nothing stands between the new refresh
/// token and the store.
#[tokio::test]
async fn a_refresh_reads_the_grant_before_the_lease_and_under_it_and_never_again() -> anyhow::Result<()> {
    for policy in ["tolerant", "strict"] {
        let deployment = Deployment::start(Plan {
            policy,
            ..Plan::default()
        })
        .await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        let before = deployment.store().grant_reads();
        assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
        assert_eq!(deployment.store().grant_reads() - before, 2, "{policy}");
        assert_eq!(deployment.dex.counts().refreshes_succeeded, 1);
    }
    Ok(())
}
