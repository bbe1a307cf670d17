//! Refresh tokens that the relay has not seen: of logins from before it, or past it.

use serde_json::json;
use tokenward_control::serve::reload::apply;
use tokenward_control::upstream::relay::Relay;
use tokenward_harness::issuer::{Endpoint, LoginTokens};

use super::stage::{Held, behind_a_relay, presented, refreshed};
use crate::deployment::{ADMIN, Deployment, PUBLIC_ENDPOINT, Plan, at_once};

#[tokio::test]
async fn a_login_from_before_the_relay_becomes_known_with_its_first_refresh() -> anyhow::Result<()> {
    let deployment = behind_a_relay(2, Plan::default()).await?;
    let login = deployment.dex.log_in(ADMIN, "muster").await?;
    deployment.advance(200);
    let held = refreshed(&deployment, 0, &login.refresh_token).await?;
    assert_eq!(presented(&deployment), 1);
    // The filter's callers and the client have the same login now.
    deployment.advance(301);
    let served = deployment.ask(&held.id_token).replica(1).send().await?;
    assert_eq!(served.status, 200, "{served:?}");
    let newest = refreshed(&deployment, 0, &held.refresh_token).await?;
    assert_eq!(newest.id_token, served.token());
    assert_eq!(presented(&deployment), 2);
    // The token of before leads to the same login.
    assert_eq!(refreshed(&deployment, 1, &login.refresh_token).await?, newest);
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

#[tokio::test]
async fn twenty_clients_with_one_unknown_token_on_three_replicas_cause_one_refresh() -> anyhow::Result<()> {
    for policy in ["tolerant", "strict"] {
        let plan = Plan {
            policy,
            ..Plan::default()
        };
        let deployment = behind_a_relay(3, plan).await?;
        let login = deployment.dex.log_in(ADMIN, "muster").await?;
        deployment.advance(200);
        let latency = std::time::Duration::from_millis(200);
        deployment.dex.set_latency(Endpoint::Refresh, latency);
        let calls: Vec<_> = (0..20)
            .map(|caller| deployment.relayed_refresh(caller % 3, &login.refresh_token))
            .collect();
        let mut held = Vec::new();
        for answer in at_once(calls.iter().map(|call| call.send())).await {
            held.push(Held::of(&answer?));
        }
        held.dedup();
        assert_eq!((held.len(), presented(&deployment)), (1, 1), "{policy}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_was_never_issued_is_answered_by_the_issuer_once() -> anyhow::Result<()> {
    let deployment = behind_a_relay(2, Plan::default()).await?;
    for replica in [0, 1, 0] {
        let answer = deployment
            .relayed_refresh(replica, "ChlkYXNkYXNkYXNkYXNkYXNk")
            .send()
            .await?;
        assert_eq!(
            (answer.status, answer.text("error").as_str()),
            (400, "invalid_request")
        );
    }
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

/// A deployment with a login that was registered before its issuer had a relay, and now has one.
async fn registered_before_the_relay() -> anyhow::Result<(Deployment, LoginTokens)> {
    let deployment = Deployment::start(Plan::default()).await?;
    let login = deployment.log_in("s-1").await?;
    let endpoint = deployment.dex.token_endpoint();
    let config = deployment.changed(|document| {
        document["issuers"][0]["token_endpoint"] = json!(endpoint);
        document["issuers"][0]["relay"] = json!({"public_endpoint": PUBLIC_ENDPOINT});
    })?;
    apply(deployment.service(0), config)?;
    deployment.advance(301);
    Ok((deployment, login))
}

#[tokio::test]
async fn a_login_that_was_registered_before_the_relay_keeps_one_owner_whichever_asks_first()
-> anyhow::Result<()> {
    for client_first in [false, true] {
        let (deployment, login) = registered_before_the_relay().await?;
        let ask = deployment.ask(&login.id_token).session("s-1");
        if !client_first {
            assert_eq!(ask.send().await?.status, 200);
        }
        let held = refreshed(&deployment, 0, &login.refresh_token).await?;
        let served = ask.send().await?;
        assert_eq!(
            (served.status, served.token()),
            (200, held.id_token.as_str()),
            "{client_first}"
        );
        assert_eq!(presented(&deployment), 1, "{client_first}");
        deployment.advance(301);
        let served = ask.send().await?;
        assert_eq!(
            refreshed(&deployment, 0, &held.refresh_token).await?.id_token,
            served.token()
        );
        assert_eq!(deployment.dex.counts().refreshes_succeeded, 2, "{client_first}");
    }
    Ok(())
}

#[tokio::test]
async fn a_login_that_was_rotated_past_the_relay_is_found_again_and_counted() -> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = deployment.log_in("s-1").await?;
    // The aggregator refreshes at an address that does not lead to the relay.
    let past = refreshed_past_the_relay(&deployment, &login.refresh_token).await?;
    deployment.advance(301);
    let refused = deployment.ask(&login.id_token).session("s-1").send().await?;
    assert_eq!(refused.refusal(), (400, "needs_login"));
    assert_eq!(bypassed(&deployment).await?, 0);
    let held = refreshed(&deployment, 0, &past).await?;
    assert_eq!(bypassed(&deployment).await?, 1);
    let served = deployment.ask(&login.id_token).session("s-1").send().await?;
    assert_eq!(served.token(), held.id_token);
    assert_eq!(presented(&deployment), 3);
    Ok(())
}

/// The refresh token that Dex itself gives for `token`.
async fn refreshed_past_the_relay(deployment: &Deployment, token: &str) -> anyhow::Result<String> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "muster"),
        ("client_secret", "s3cret"),
        ("refresh_token", token),
    ];
    let request = deployment.http.post(deployment.dex.token_endpoint()).form(&form);
    let answer: serde_json::Value = request.send().await?.error_for_status()?.json().await?;
    Ok(answer["refresh_token"].as_str().unwrap_or_default().to_owned())
}

async fn bypassed(deployment: &Deployment) -> anyhow::Result<u64> {
    let notice = Relay::bypass_notice(&**deployment.store(), deployment.dex.issuer()).await?;
    Ok(notice.map_or(0, |notice| notice.count))
}
