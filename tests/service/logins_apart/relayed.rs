//! Clients that refresh through the relay: each login is learned as one of its own.

use serde_json::json;

use super::stage::{plan, presented, revoked, served};
use crate::deployment::{ADMIN, Deployment, Plan, RelayAnswer};

struct Held {
    id_token: String,
    refresh_token: String,
}

impl Held {
    fn of(answer: &RelayAnswer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        Self {
            id_token: answer.text("id_token"),
            refresh_token: answer.text("refresh_token"),
        }
    }
}

async fn behind_a_relay() -> anyhow::Result<Deployment> {
    Deployment::start(Plan {
        replicas: 2,
        relay: Some(json!({})),
        ..plan()
    })
    .await
}

async fn learned(deployment: &Deployment) -> anyhow::Result<Held> {
    Ok(Held::of(&deployment.relayed_login(0, ADMIN).send().await?))
}

async fn refreshed(deployment: &Deployment, token: &str) -> anyhow::Result<Held> {
    Ok(Held::of(&deployment.relayed_refresh(1, token).send().await?))
}

async fn assert_ended(deployment: &Deployment, token: &str) -> anyhow::Result<()> {
    let answer = deployment.relayed_refresh(0, token).send().await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn two_learned_logins_are_refreshed_on_their_own_and_end_together_at_a_sign_out() -> anyhow::Result<()>
{
    let deployment = behind_a_relay().await?;
    let first = learned(&deployment).await?;
    deployment.advance(1);
    let second = learned(&deployment).await?;
    deployment.advance(301);
    let newest = [
        refreshed(&deployment, &first.refresh_token).await?,
        refreshed(&deployment, &second.refresh_token).await?,
    ];
    assert_ne!(newest[0].id_token, newest[1].id_token);
    assert_eq!(presented(&deployment), 2);
    // A server's request without a handle gets the newest login, without another call.
    let answer = deployment.ask(&first.id_token).send().await?;
    assert_eq!(answer.token(), newest[1].id_token);
    deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
    for held in [&first, &second, &newest[0], &newest[1]] {
        assert_ended(&deployment, &held.refresh_token).await?;
    }
    assert_eq!(deployment.ask(&newest[0].id_token).send().await?.status, 400);
    assert_eq!(presented(&deployment), 2);
    assert_eq!(revoked(&deployment).await.len(), 2);
    // A later login is another matter.
    deployment.advance(2);
    let later = learned(&deployment).await?;
    deployment.advance(301);
    refreshed(&deployment, &later.refresh_token).await?;
    assert_eq!(presented(&deployment), 3);
    Ok(())
}

#[tokio::test]
async fn a_learned_login_that_is_registered_too_has_one_record() -> anyhow::Result<()> {
    let deployment = behind_a_relay().await?;
    let login = learned(&deployment).await?;
    deployment.advance(301);
    let newest = refreshed(&deployment, &login.refresh_token).await?;
    // The aggregator has the login's first tokens, or the newest.
    let put = deployment
        .put("s-1", &login.id_token, Some(&login.refresh_token))
        .await?;
    assert_eq!(put.status, 201, "{put:?}");
    let put = deployment
        .put("s-2", &newest.id_token, Some(&newest.refresh_token))
        .await?;
    assert_eq!(put.status, 201, "{put:?}");
    for session in ["s-1", "s-2"] {
        let answer = deployment.ask(&newest.id_token).session(session).send().await?;
        assert_eq!(answer.token(), newest.id_token);
    }
    deployment.advance(301);
    let again = refreshed(&deployment, &newest.refresh_token).await?;
    let answer = deployment.ask(&newest.id_token).session("s-1").send().await?;
    assert_eq!(answer.token(), again.id_token);
    assert_eq!(presented(&deployment), 2);
    // The sessions' end is the login's.
    for session in ["s-1", "s-2"] {
        assert_eq!(deployment.end(session).await?.status, 204);
    }
    assert_ended(&deployment, &again.refresh_token).await?;
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

#[tokio::test]
async fn a_login_that_is_known_by_its_refresh_token_alone_is_one_of_its_own() -> anyhow::Result<()> {
    let deployment = behind_a_relay().await?;
    let registered = deployment.log_in("s-1").await?;
    let unknown = deployment.dex.log_in(ADMIN, "muster").await?;
    deployment.advance(301);
    let newest = refreshed(&deployment, &unknown.refresh_token).await?;
    let token = served(&deployment, &registered, "s-1").await?;
    assert_ne!(newest.id_token, token);
    assert_eq!(presented(&deployment), 2);
    // Put later, it is the same record.
    let put = deployment.put_login("s-2", &unknown).await?;
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(served(&deployment, &unknown, "s-2").await?, newest.id_token);
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

/// Without a login since, a refresh by an unknown token is no login after a sign-out; beside one it is.
#[tokio::test]
async fn after_a_sign_out_an_unknown_refresh_token_is_taken_only_beside_a_new_login() -> anyhow::Result<()> {
    for has_login_since in [false, true] {
        let deployment = behind_a_relay().await?;
        let unknown = deployment.dex.log_in(ADMIN, "muster").await?;
        deployment.advance(5);
        deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
        deployment.advance(5);
        if has_login_since {
            learned(&deployment).await?;
        }
        let answer = deployment
            .relayed_refresh(0, &unknown.refresh_token)
            .send()
            .await?;
        assert_eq!(answer.status, if has_login_since { 200 } else { 400 });
        assert_eq!(presented(&deployment), 1);
    }
    Ok(())
}
