//! A newer login under the same session handle takes the place of the older one.

use tokenward_harness::issuer::fingerprint;

use super::stage::{logged_in, made_in, plan, presented, revoked, served, start};
use crate::deployment::{Deployment, Plan};

#[tokio::test]
async fn the_older_login_ends_and_is_revoked() -> anyhow::Result<()> {
    let deployment = start().await?;
    let older = deployment.log_in("s-1").await?;
    deployment.advance(1);
    let newer = deployment.log_in("s-1").await?;
    assert_eq!(revoked(&deployment).await, [fingerprint(&older.refresh_token)]);
    deployment.advance(301);
    served(&deployment, &newer, "s-1").await?;
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn the_older_login_goes_on_where_another_session_has_it() -> anyhow::Result<()> {
    let deployment = start().await?;
    let older = deployment.log_in("s-1").await?;
    deployment.put_login("s-2", &older).await?;
    deployment.advance(1);
    let newer = deployment.log_in("s-1").await?;
    assert_eq!(revoked(&deployment).await.len(), 0);
    deployment.advance(301);
    let tokens = [
        served(&deployment, &newer, "s-1").await?,
        served(&deployment, &older, "s-2").await?,
    ];
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

/// Keycloak's revocation ends what was made in the token's session.
#[tokio::test]
async fn a_refresh_token_is_not_revoked_while_a_login_of_the_same_session_at_the_issuer_is_alive()
-> anyhow::Result<()> {
    let deployment = start().await?;
    logged_in(&deployment, "s-1", "sid-1").await?;
    deployment.advance(1);
    let second = logged_in(&deployment, "s-1", "sid-1").await?;
    assert_eq!(
        revoked(&deployment).await.len(),
        0,
        "it would end the second login"
    );
    // Nor at a DELETE, beside another session of the aggregator.
    deployment.advance(1);
    let third = logged_in(&deployment, "s-2", "sid-1").await?;
    logged_in(&deployment, "s-3", "sid-3").await?;
    assert_eq!(deployment.end("s-1").await?.status, 204);
    assert_eq!(
        revoked(&deployment).await.len(),
        0,
        "it would end the third login"
    );
    let metrics = deployment.service(0).service().metrics().exposition();
    assert!(metrics.contains(r#"outcome="kept""#), "{metrics}");
    // The last one of the issuer's session.
    assert_eq!(deployment.end("s-2").await?.status, 204);
    assert_eq!(revoked(&deployment).await, [fingerprint(&third.refresh_token)]);
    assert_ne!(
        fingerprint(&second.refresh_token),
        fingerprint(&third.refresh_token)
    );
    Ok(())
}

#[tokio::test]
async fn an_older_login_that_is_put_again_replaces_nothing() -> anyhow::Result<()> {
    let deployment = start().await?;
    let older = deployment.log_in("s-1").await?;
    deployment.advance(301);
    served(&deployment, &older, "s-1").await?;
    let newer = deployment.log_in("s-1").await?;
    deployment.advance(10);
    for login in [&older, &newer, &older] {
        let put = deployment.put_login("s-1", login).await?;
        assert_eq!((put.status, put.text("state")), (200, "active"), "{put:?}");
        assert_eq!(served(&deployment, &newer, "s-1").await?, newer.id_token);
    }
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

/// An aggregator that refreshes by itself registers each new ID token, without a refresh token.
#[tokio::test]
async fn a_login_without_a_refresh_token_follows_its_newest_id_token() -> anyhow::Result<()> {
    let deployment = start().await?;
    let id_token = |sid: &str| {
        let minted = deployment.dex.mint(crate::deployment::ADMIN, "muster");
        minted.claim("sid", sid).token()
    };
    let first = id_token("sid-1");
    assert_eq!(deployment.put("s-1", &first, None).await?.status, 201);
    deployment.advance(200);
    let second = id_token("sid-1");
    let put = deployment.put("s-1", &second, None).await?;
    assert_eq!((put.status, &put.body["generation"]), (200, &1.into()), "{put:?}");
    let ask = deployment.ask(&first).session("s-1");
    assert_eq!(ask.send().await?.token(), second);
    // Another session at the issuer is another login.
    deployment.advance(10);
    let third = id_token("sid-2");
    assert_eq!(deployment.put("s-1", &third, None).await?.status, 200);
    assert_eq!(ask.send().await?.token(), third);
    // So is one that comes with a refresh token.
    deployment.advance(10);
    let login = made_in(&deployment, "sid-2").await?;
    assert_eq!(deployment.put_login("s-1", &login).await?.status, 200);
    deployment.advance(301);
    served(&deployment, &login, "s-1").await?;
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn a_login_is_put_at_the_same_moment_in_one_record() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        valkey: true,
        ..plan()
    })
    .await?;
    let login = made_in(&deployment, "sid-1").await?;
    let sessions: Vec<String> = (0..20).map(|number| format!("s-{number}")).collect();
    let puts = sessions
        .iter()
        .map(|session| deployment.put_login(session, &login));
    for put in crate::deployment::at_once(puts).await {
        assert_eq!(put?.status, 201);
    }
    deployment.advance(301);
    let asks = sessions
        .iter()
        .map(|session| served(&deployment, &login, session));
    for token in crate::deployment::at_once(asks).await {
        token?;
    }
    assert_eq!(presented(&deployment), 1);
    Ok(())
}
