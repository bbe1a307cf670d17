//! The configuration changes whether the issuer keeps a refresh token for each login: no login is lost, in either direction.

use serde_json::json;
use tokenward_control::serve::reload::apply;
use tokenward_harness::issuer::{DexConfig, fingerprint};

use super::stage::{plan, presented, revoked, served};
use crate::deployment::{ADMIN, Deployment, Plan};

fn set(deployment: &Deployment, refresh_tokens: &str) -> anyhow::Result<()> {
    let config = deployment.changed(|document| {
        document["issuers"][0]["refresh_tokens"] = json!(refresh_tokens);
    })?;
    apply(deployment.service(0), config)?;
    Ok(())
}

#[tokio::test]
async fn logins_of_before_stay_in_the_users_grant_and_new_ones_are_apart() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        issuer: json!({"refresh_tokens": "per_user"}),
        ..plan()
    })
    .await?;
    let before = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let refreshed = served(&deployment, &before, "s-1").await?;
    set(&deployment, "per_login")?;
    assert_eq!(served(&deployment, &before, "s-1").await?, refreshed);
    // The aggregator puts what it once got, under the same session and another: the newest tokens stay.
    for (session, status) in [("s-1", 200), ("s-1b", 201)] {
        assert_eq!(deployment.put_login(session, &before).await?.status, status);
        assert_eq!(served(&deployment, &before, session).await?, refreshed);
    }
    assert_eq!(presented(&deployment), 1);
    let after = deployment.log_in("s-2").await?;
    assert_eq!(
        served(&deployment, &before, "s-1").await?,
        refreshed,
        "not superseded"
    );
    deployment.advance(301);
    let tokens = [
        served(&deployment, &before, "s-1").await?,
        served(&deployment, &after, "s-2").await?,
    ];
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(presented(&deployment), 3);
    // Each of them without a handle too: the newest is alive.
    assert_eq!(deployment.ask(&before.id_token).send().await?.token(), tokens[1]);
    deployment.end("s-2").await?;
    assert_eq!(deployment.ask(&before.id_token).send().await?.token(), tokens[0]);
    assert_eq!(revoked(&deployment).await.len(), 1);
    // A newer login under the old session ends the one of before.
    let newest = deployment.log_in("s-1").await?;
    deployment.end("s-1b").await?;
    assert_eq!(revoked(&deployment).await.len(), 2);
    deployment.advance(301);
    served(&deployment, &newest, "s-1").await?;
    let subject = deployment.dex.subject(ADMIN);
    assert_eq!(deployment.sign_out(&subject).await?.body, json!({"sessions": 1}));
    assert_eq!(deployment.status("s-1").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn back_at_one_refresh_token_for_each_user_the_sessions_keep_their_logins() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan()).await?;
    let logins = [deployment.log_in("s-0").await?, deployment.log_in("s-1").await?];
    deployment.advance(301);
    for (number, login) in logins.iter().enumerate() {
        served(&deployment, login, &format!("s-{number}")).await?;
    }
    assert_eq!(presented(&deployment), 2);
    set(&deployment, "per_user")?;
    for (number, login) in logins.iter().enumerate() {
        let session = format!("s-{number}");
        // No used-up token is presented for a login that is put again, there or under another session.
        assert_eq!(deployment.put_login(&session, login).await?.status, 200);
        let again = format!("s-{number}-again");
        assert_eq!(deployment.put_login(&again, login).await?.status, 201);
        served(&deployment, login, &again).await?;
    }
    deployment.advance(301);
    for (number, login) in logins.iter().enumerate() {
        served(&deployment, login, &format!("s-{number}")).await?;
    }
    assert_eq!(presented(&deployment), 4);
    let arrived = deployment.dex.presentations();
    let mut different: Vec<&str> = arrived.iter().map(|one| one.fingerprint.as_str()).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 4, "none twice");
    // A new login is the user's own grant again, and a sign-out ends all three.
    deployment.log_in("s-2").await?;
    let subject = deployment.dex.subject(ADMIN);
    assert_eq!(deployment.sign_out(&subject).await?.body, json!({"sessions": 5}));
    for session in ["s-0", "s-1", "s-2"] {
        assert_eq!(deployment.status(session).await?.status, 404);
    }
    assert_eq!(revoked(&deployment).await.len(), 3);
    Ok(())
}

/// Where the issuer keeps one for each user, as Dex does, nothing has changed.
#[tokio::test]
async fn at_dex_a_second_login_takes_the_place_of_the_first() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        dex: DexConfig {
            has_revocation: true,
            ..Plan::default().dex
        },
        ..Plan::default()
    })
    .await?;
    let first = deployment.log_in("s-1").await?;
    let second = deployment.log_in("s-2").await?;
    deployment.advance(301);
    let token = served(&deployment, &first, "s-1").await?;
    assert_eq!(served(&deployment, &second, "s-2").await?, token);
    assert_eq!(presented(&deployment), 1);
    deployment.end("s-2").await?;
    assert_eq!(served(&deployment, &first, "s-1").await?, token);
    assert_eq!(revoked(&deployment).await.len(), 0);
    assert_ne!(
        fingerprint(&first.refresh_token),
        fingerprint(&second.refresh_token)
    );
    Ok(())
}
