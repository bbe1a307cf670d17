//! One refresh brings both tokens, for all callers.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{Disguise, Endpoint, Failure};
use tokenward_protocol::token_endpoint::Reason;

use super::stage::{FILES, ID_TOKEN, OPAQUE_LIFE, access_token, claim, plan, presented};
use crate::deployment::{Deployment, Plan, at_once};

#[tokio::test]
async fn the_two_servers_get_the_two_tokens_of_one_answer() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(false)).await?;
    let login = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let files = deployment.ask(&login.id_token).server(FILES).send().await?;
    let kubernetes = deployment.ask(&login.id_token).send().await?;
    assert_eq!(presented(&deployment), 1);
    assert_eq!(kubernetes.text("issued_token_type"), ID_TOKEN);
    let (id_token, access_token) = (kubernetes.token(), access_token(&files));
    assert_ne!(id_token, access_token);
    // Dex makes both at one moment, for one user.
    for name in ["iss", "sub", "iat", "exp"] {
        assert_eq!(claim(id_token, name), claim(&access_token, name), "{name}");
    }
    assert_eq!(files.body["expires_in"], json!(300));
    assert_ne!(claim(id_token, "at_hash"), claim(&login.id_token, "at_hash"));
    Ok(())
}

#[tokio::test]
async fn fifty_callers_of_both_servers_after_idle_cause_one_refresh() -> anyhow::Result<()> {
    for is_opaque in [false, true] {
        for replicas in [1, 2] {
            let deployment = Deployment::start(Plan {
                replicas,
                valkey: replicas > 1,
                ..plan(is_opaque)
            })
            .await?;
            let login = deployment.log_in("s-1").await?;
            deployment.advance(4000);
            deployment
                .dex
                .set_latency(Endpoint::Refresh, Duration::from_millis(50));
            let calls = (0..50).map(|number| {
                let call = deployment.ask(&login.id_token).replica(number % replicas);
                let call = if number % 4 < 2 { call.server(FILES) } else { call };
                async move { call.send().await }
            });
            let answers = at_once(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            assert_eq!(presented(&deployment), 1, "{is_opaque} {replicas}");
            let mut access_tokens: Vec<String> = Vec::new();
            for (number, answer) in answers.iter().enumerate() {
                assert_eq!(answer.status, 200, "{answer:?}");
                if number % 4 < 2 {
                    access_tokens.push(access_token(answer));
                }
            }
            access_tokens.dedup();
            assert_eq!(access_tokens.len(), 1);
            assert_eq!(access_tokens[0].starts_with("eyJ"), !is_opaque);
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_opaque_token_is_served_for_the_life_that_its_issuer_stated() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(true)).await?;
    let login = deployment.log_in("s-1").await?;
    let ask = deployment.ask(&login.id_token).server(FILES);
    let first = ask.send().await?;
    assert_eq!(
        (presented(&deployment), &first.body["expires_in"]),
        (1, &json!(OPAQUE_LIFE))
    );
    deployment.advance(238);
    let same = ask.send().await?;
    assert_eq!(access_token(&same), access_token(&first));
    assert_eq!(
        (presented(&deployment), &same.body["expires_in"]),
        (1, &json!(61))
    );
    // Its margin.
    deployment.advance(1);
    let next = ask.send().await?;
    assert_ne!(access_token(&next), access_token(&first));
    assert_eq!(
        (presented(&deployment), &next.body["expires_in"]),
        (2, &json!(OPAQUE_LIFE))
    );
    Ok(())
}

#[tokio::test]
async fn a_rejected_access_token_is_replaced_once_in_an_interval() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(true)).await?;
    let login = deployment.log_in("s-1").await?;
    let ask = deployment.ask(&login.id_token).server(FILES);
    let first = access_token(&ask.send().await?);
    deployment.advance(31);
    let rejected = ask.clone().reason(Reason::Rejected);
    let second = access_token(&rejected.send().await?);
    assert_ne!(second, first);
    assert_eq!(presented(&deployment), 2);
    // For another caller of the same login that was rejected with the first one.
    assert_eq!(access_token(&rejected.send().await?), second);
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

#[tokio::test]
async fn ahead_of_time_a_failed_refresh_loses_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(true)).await?;
    let login = deployment.log_in("s-1").await?;
    let ask = deployment.ask(&login.id_token).server(FILES);
    let first = access_token(&ask.send().await?);
    deployment.advance(200);
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::internal_error());
    let ahead = ask.clone().reason(Reason::NearExpiry).send().await?;
    assert_eq!(access_token(&ahead), first);
    assert_eq!(presented(&deployment), 2);
    deployment.advance(45);
    assert_eq!(ask.send().await?.refusal(), (503, "issuer_unavailable"));
    Ok(())
}

#[tokio::test]
async fn answers_without_an_access_token_are_asked_for_again_only_after_a_pause() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(false)).await?;
    let login = deployment.log_in("s-1").await?;
    let disguise = Failure::Disguised(Disguise::ObjectMember);
    deployment.dex.fail_always(Endpoint::Refresh, disguise);
    let ask = deployment.ask(&login.id_token).server(FILES);
    for _ in 0..3 {
        let answer = ask.send().await?;
        assert_eq!(answer.refusal(), (500, "issuer_misconfigured"), "{answer:?}");
        let description = answer.text("error_description");
        assert!(description.contains("no access token"), "{description}");
        assert_eq!(presented(&deployment), 1);
    }
    // The other server is not concerned, also when its token must be refreshed.
    assert_eq!(deployment.ask(&login.id_token).send().await?.status, 200);
    assert_eq!(presented(&deployment), 1);
    deployment.advance(301);
    assert_eq!(deployment.ask(&login.id_token).send().await?.status, 200);
    assert_eq!(presented(&deployment), 2);
    deployment.dex.heal(Endpoint::Refresh);
    access_token(&ask.send().await?);
    assert_eq!(presented(&deployment), 3);
    Ok(())
}

#[tokio::test]
async fn access_tokens_that_live_no_longer_than_margin_are_named_as_the_cause() -> anyhow::Result<()> {
    let mut plan = plan(true);
    plan.dex.id_token_lifetime = Duration::from_secs(300);
    plan.settings = json!({"margin": "60s"});
    let deployment = Deployment::start(plan).await?;
    let login = deployment.log_in("s-1").await?;
    deployment.dex.set_id_token_lifetime(Duration::from_secs(60));
    let ask = deployment.ask(&login.id_token).server(FILES);
    let answer = ask.send().await?;
    assert_eq!(answer.refusal(), (500, "issuer_misconfigured"), "{answer:?}");
    let description = answer.text("error_description");
    assert!(
        description.contains("access tokens live no longer than margin"),
        "{description}"
    );
    assert_eq!(ask.send().await?.refusal(), (500, "issuer_misconfigured"));
    assert_eq!(presented(&deployment), 1);
    Ok(())
}
