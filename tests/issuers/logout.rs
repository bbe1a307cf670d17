//! Keycloak ends logins: by back-channel logout, at once, and without it at the next refresh.

use tokenward_harness::parts::keycloak::Realm;

use super::stage::{ALICE, BOB, Stage};

/// Control's endpoint for logout tokens.
const ENDPOINT: &str = "/v1/backchannel-logout";

async fn set_with_logouts(story: &str) -> anyhow::Result<Option<Stage>> {
    let Some(stage) = Stage::set(story).await? else {
        return Ok(None);
    };
    let url = format!("{}{ENDPOINT}", stage.deployment.urls[0]);
    stage.realm.post_logouts_to(&url).await?;
    Ok(Some(stage))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_admin_ends_is_over_at_once_and_the_users_other_device_goes_on()
-> anyhow::Result<()> {
    let Some(stage) = set_with_logouts("back-channel logout of a session").await? else {
        return Ok(());
    };
    let laptop = stage.log_in("laptop", ALICE, Realm::ONLINE).await?;
    let phone = stage.log_in("phone", ALICE, Realm::ONLINE).await?;
    let other = stage.log_in("other", BOB, Realm::ONLINE).await?;
    stage.realm.delete_session(&laptop).await?;
    // Without any request of the user.
    stage
        .wait_for_status("laptop", |status| status.status == 404)
        .await?;
    let refused = stage.call("laptop", &laptop).send().await?;
    assert_eq!(refused.refusal(), (400, "unknown_session"));
    stage.assert_refreshes(0, 0).await?;
    for (session, login) in [("phone", &phone), ("other", &other)] {
        assert_eq!(stage.deployment.status(session).await?.status, 200, "{session}");
        stage.served(&stage.call(session, login)).await?;
    }
    stage.assert_refreshes(2, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signed_out_by_the_admin_needs_a_login_at_once() -> anyhow::Result<()> {
    let Some(stage) = set_with_logouts("back-channel logout of a user").await? else {
        return Ok(());
    };
    let alice = stage.log_in_fresh("s-1", ALICE).await?;
    let bob = stage.log_in_fresh("s-2", BOB).await?;
    assert_eq!(stage.call("s-1", &alice).send().await?.status, 200);
    stage.realm.log_out(ALICE).await?;
    stage
        .wait_for_status("s-1", |status| status.status == 404)
        .await?;
    // Her token has a quarter of an hour left.
    let refused = stage.call("s-1", &alice).send().await?;
    assert_eq!(refused.refusal(), (400, "unknown_session"));
    assert_eq!(stage.call("s-2", &bob).send().await?.status, 200);
    stage.assert_refreshes(0, 0).await?;
    // She comes back.
    let again = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    stage.served(&stage.call("s-1", &again)).await?;
    stage.assert_refreshes(1, 0).await
}

/// Keycloak posts one logout token for all sessions of the user at a client, with the `sid` of one of them; the others are
/// refused when they are refreshed.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_user_with_three_devices_one_is_over_at_once_and_the_others_at_their_next_refresh()
-> anyhow::Result<()> {
    let Some(stage) = set_with_logouts("back-channel logout of three devices").await? else {
        return Ok(());
    };
    let mut devices = Vec::new();
    for session in ["laptop", "phone", "tablet"] {
        devices.push((session, stage.log_in(session, ALICE, Realm::ONLINE).await?));
    }
    stage.realm.log_out(ALICE).await?;
    let mut over = 0;
    let limit = std::time::Instant::now() + super::stage::PATIENCE;
    while over == 0 {
        anyhow::ensure!(std::time::Instant::now() < limit, "no session is over");
        for (session, _) in &devices {
            over += usize::from(stage.deployment.status(session).await?.status == 404);
        }
    }
    let mut refused = 0;
    for (session, login) in &devices {
        let call = stage.call(session, login);
        let answer = call.send().await?;
        match answer.refusal() {
            (400, "unknown_session") => {}
            (400, "needs_login") => {
                stage.until_a_login_is_needed(&call).await?;
                refused += 1;
            }
            _ => panic!("{session}: {answer:?}"),
        }
    }
    assert_eq!((over, refused), (1, 2));
    stage.assert_refreshes(0, refused).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_back_channel_logout_a_signed_out_user_needs_a_login_after_one_refresh_and_no_more()
-> anyhow::Result<()> {
    let Some(stage) = Stage::set("a user who was signed out").await? else {
        return Ok(());
    };
    let alice = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    let bob = stage.log_in("s-2", BOB, Realm::ONLINE).await?;
    stage.realm.log_out(ALICE).await?;
    let call = stage.call("s-1", &alice);
    stage.until_a_login_is_needed(&call).await?;
    assert_eq!(stage.deployment.status("s-1").await?.text("state"), "needs_login");
    stage.served(&stage.call("s-2", &bob)).await?;
    stage.assert_refreshes(1, 1).await?;
    let again = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    stage.served(&stage.call("s-1", &again)).await?;
    stage.assert_refreshes(2, 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_disabled_needs_a_login_after_one_refresh_and_no_more() -> anyhow::Result<()> {
    let Some(stage) = Stage::set("a user who is disabled").await? else {
        return Ok(());
    };
    let alice = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    stage.realm.set_user_enabled(ALICE, false).await?;
    stage.until_a_login_is_needed(&stage.call("s-1", &alice)).await?;
    stage.realm.set_user_enabled(ALICE, true).await?;
    let again = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    stage.served(&stage.call("s-1", &again)).await?;
    stage.assert_refreshes(1, 1).await
}
