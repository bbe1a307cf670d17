//! Refreshes of a login that the relay has learned: one owner, for its client and the servers' callers alike.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{Endpoint, Failure};

use super::stage::{Held, behind_a_relay, learned, presented, refreshed};
use crate::deployment::{Plan, at_once};

#[tokio::test]
async fn a_client_and_the_filter_on_three_replicas_cause_one_refresh() -> anyhow::Result<()> {
    let deployment = behind_a_relay(3, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(301);
    deployment
        .dex
        .set_latency(Endpoint::Refresh, Duration::from_millis(200));
    let of_client: Vec<_> = (0..20)
        .map(|caller| deployment.relayed_refresh(caller % 3, &login.refresh_token))
        .collect();
    let of_filter: Vec<_> = (0..20)
        .map(|caller| deployment.ask(&login.id_token).replica(caller % 3))
        .collect();
    let (answers, tokens) = tokio::join!(
        at_once(of_client.iter().map(|call| call.send())),
        at_once(of_filter.iter().map(|ask| ask.send())),
    );
    let mut held: Vec<Held> = Vec::new();
    for answer in answers {
        held.push(Held::of(&answer?));
    }
    held.dedup();
    assert_eq!(held.len(), 1, "all get the same tokens");
    for token in tokens {
        assert_eq!(token?.token(), held[0].id_token);
    }
    assert_ne!(held[0].refresh_token, login.refresh_token);
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn the_newest_token_is_answered_from_the_store_within_a_minute_and_then_refreshed() -> anyhow::Result<()>
{
    let deployment = behind_a_relay(2, Plan::default()).await?;
    let login = learned(&deployment).await?;
    assert_eq!(refreshed(&deployment, 1, &login.refresh_token).await?, login);
    assert_eq!(presented(&deployment), 0);
    deployment.advance(61);
    let newer = refreshed(&deployment, 1, &login.refresh_token).await?;
    assert_ne!(newer.refresh_token, login.refresh_token);
    assert_eq!(presented(&deployment), 1);
    // In another form a moment later, as aggregators do, or by another process of it that has not seen the answer.
    for token in [&login.refresh_token, &newer.refresh_token] {
        assert_eq!(refreshed(&deployment, 0, token).await?, newer);
    }
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn what_the_filter_has_refreshed_answers_the_client_with_the_times_of_the_moment() -> anyhow::Result<()>
{
    let deployment = behind_a_relay(2, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(301);
    let served = deployment.ask(&login.id_token).send().await?;
    assert_eq!(served.status, 200, "{served:?}");
    deployment.advance(100);
    let answer = deployment.relayed_refresh(1, &login.refresh_token).send().await?;
    let held = Held::of(&answer);
    assert_eq!(held.id_token, served.token());
    let seconds = answer.json()["expires_in"].as_u64().unwrap_or_default();
    assert!((198..=200).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.text("token_type"), "bearer");
    assert_eq!(presented(&deployment), 1);
    // What the client holds now is the token that works.
    deployment.advance(100);
    refreshed(&deployment, 0, &held.refresh_token).await?;
    assert_eq!(presented(&deployment), 2);
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn while_the_issuer_is_down_a_client_gets_what_it_has_not_until_its_margin_and_no_login_is_lost()
-> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(100);
    let held = refreshed(&deployment, 0, &login.refresh_token).await?;
    // Past half of the response's life an older token is reason for a refresh, too.
    deployment.advance(170);
    deployment.dex.set_down(true);
    assert_eq!(refreshed(&deployment, 0, &login.refresh_token).await?, held);
    let refused = async |refresh_token: &str| {
        let answer = deployment.relayed_refresh(0, refresh_token).send().await?;
        assert_eq!(
            (answer.status, answer.text("error").as_str()),
            (503, "temporarily_unavailable")
        );
        assert!(answer.header("retry-after").is_some());
        anyhow::Ok(())
    };
    refused(&held.refresh_token).await?;
    deployment.advance(75);
    refused(&login.refresh_token).await?;
    deployment.dex.set_down(false);
    // A client waits for five seconds, whatever the pause is that servers' requests wait for.
    deployment.advance(6);
    refreshed(&deployment, 0, &held.refresh_token).await?;
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn an_answer_without_an_id_token_reaches_the_client_and_its_refresh_token_is_kept() -> anyhow::Result<()>
{
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(200);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::NoIdToken);
    let held = refreshed(&deployment, 0, &login.refresh_token).await?;
    assert_eq!(held.id_token, "");
    assert_ne!(held.refresh_token, login.refresh_token);
    deployment.advance(200);
    let next = refreshed(&deployment, 0, &held.refresh_token).await?;
    assert_ne!(next.id_token, "");
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn a_substituted_token_is_never_handed_out_and_costs_no_login() -> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(250);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::OtherSubject);
    let answer = deployment.relayed_refresh(0, &login.refresh_token).send().await?;
    assert_eq!(
        (answer.status, answer.text("error").as_str()),
        (503, "temporarily_unavailable")
    );
    deployment.advance(31);
    let held = refreshed(&deployment, 0, &login.refresh_token).await?;
    assert_ne!(held.refresh_token, login.refresh_token);
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_does_not_rotate_gives_the_same_token_back() -> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::DropRefreshToken);
    for refreshes in 1..=3 {
        deployment.advance(200);
        let held = refreshed(&deployment, 0, &login.refresh_token).await?;
        assert_eq!(held.refresh_token, login.refresh_token);
        assert_eq!(presented(&deployment), refreshes);
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_after_the_deadline_waits_in_the_store_for_the_next_request() -> anyhow::Result<()> {
    let plan = Plan {
        relay: Some(json!({"deadline": "1s"})),
        ..Plan::default()
    };
    let deployment = behind_a_relay(1, plan).await?;
    let login = learned(&deployment).await?;
    deployment.advance(200);
    deployment.dex.hold(Endpoint::Refresh);
    let late = deployment.relayed_refresh(0, &login.refresh_token).send().await?;
    assert_eq!(
        (late.status, late.text("error").as_str()),
        (503, "temporarily_unavailable")
    );
    deployment.dex.release(Endpoint::Refresh);
    deployment
        .dex
        .wait_for_counts(|counts| counts.refreshes_succeeded == 1, Duration::from_secs(20))
        .await?;
    let held = refreshed(&deployment, 0, &login.refresh_token).await?;
    assert_ne!(held.refresh_token, login.refresh_token);
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn a_client_that_disconnects_cancels_nothing() -> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(200);
    deployment.dex.hold(Endpoint::Refresh);
    let call = deployment.relayed_refresh(0, &login.refresh_token);
    let impatient = tokio::spawn(async move { call.send().await });
    deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
    impatient.abort();
    deployment.dex.release(Endpoint::Refresh);
    let held = refreshed(&deployment, 0, &login.refresh_token).await?;
    assert_ne!(held.refresh_token, login.refresh_token);
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn a_login_that_the_issuer_ended_is_answered_in_its_words_and_then_without_a_call() -> anyhow::Result<()>
{
    let deployment = behind_a_relay(2, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(200);
    deployment.dex.revoke(crate::deployment::ADMIN, "muster");
    for replica in [0, 1, 1] {
        let answer = deployment
            .relayed_refresh(replica, &login.refresh_token)
            .send()
            .await?;
        assert_eq!(
            (answer.status, answer.text("error").as_str()),
            (400, "invalid_request")
        );
        assert!(
            answer.text("error_description").contains("already been claimed"),
            "{answer:?}"
        );
    }
    assert_eq!(presented(&deployment), 1);
    Ok(())
}
