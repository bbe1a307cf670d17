//! Offline sessions: logins that outlive the user's session at Keycloak.

use std::time::{Duration, Instant};

use tokenward_harness::parts::keycloak::Realm;

use super::stage::{ALICE, BOB, PATIENCE, Stage, plan, plan_of_realm};

/// The life of a session that is not used. Keycloak adds no grace to it.
const IDLE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_login_outlives_the_admins_sign_out_until_it_is_ended_itself() -> anyhow::Result<()> {
    let Some(stage) = Stage::set("an offline login").await? else {
        return Ok(());
    };
    let login = stage.log_in("s-1", ALICE, Realm::OFFLINE).await?;
    assert_eq!(stage.realm.offline_sessions(ALICE).await?, 1);
    stage.realm.log_out(ALICE).await?;
    stage.served(&stage.call("s-1", &login)).await?;
    stage.assert_refreshes(1, 0).await?;
    let second = stage.log_in("s-2", BOB, Realm::OFFLINE).await?;
    stage.realm.delete_session(&second).await?;
    assert_eq!(stage.realm.offline_sessions(BOB).await?, 0);
    stage.until_a_login_is_needed(&stage.call("s-2", &second)).await?;
    stage.assert_refreshes(1, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_login_outlives_the_idle_time_that_ends_another() -> anyhow::Result<()> {
    let realm = plan_of_realm().idle(IDLE);
    let Some(stage) = Stage::set_with("idle sessions", realm, plan(1, false)).await? else {
        return Ok(());
    };
    let offline = stage.log_in("s-1", ALICE, Realm::OFFLINE).await?;
    let online = stage.log_in("s-2", BOB, Realm::ONLINE).await?;
    let limit = Instant::now() + PATIENCE;
    // A refresh would prolong it, so another login of the same age is watched.
    let watched = stage.realm.log_in(BOB, Realm::ONLINE).await?;
    tokio::time::sleep(IDLE).await;
    while stage.realm.is_alive(&watched).await? {
        anyhow::ensure!(Instant::now() < limit, "the session is not idle");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.until_a_login_is_needed(&stage.call("s-2", &online)).await?;
    stage.served(&stage.call("s-1", &offline)).await?;
    stage.assert_refreshes(1, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_an_offline_login_out_here_ends_it_at_keycloak() -> anyhow::Result<()> {
    let Some(stage) = Stage::set("signing an offline login out").await? else {
        return Ok(());
    };
    let login = stage.log_in("s-1", ALICE, Realm::OFFLINE).await?;
    stage.served(&stage.call("s-1", &login)).await?;
    assert_eq!(stage.deployment.end("s-1").await?.status, 204);
    let limit = Instant::now() + PATIENCE;
    while stage.realm.offline_sessions(ALICE).await? > 0 {
        anyhow::ensure!(Instant::now() < limit, "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stage.realm.counts().revocations, 1);
    stage.assert_refreshes(1, 0).await
}
