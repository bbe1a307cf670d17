//! Two devices of one user: Keycloak keeps a chain of refresh tokens for each login, and so does control.

use tokenward_harness::parts::keycloak::{Login, Realm};

use super::stage::{ALICE, Stage, claim, plan, plan_of_realm};

struct Devices {
    stage: Stage,
    laptop: Login,
    phone: Login,
}

/// The laptop's session is older than the phone's.
async fn two_devices(story: &str, on_valkey: bool) -> anyhow::Result<Option<Devices>> {
    let Some(stage) = Stage::set_with(story, plan_of_realm(), plan(1, on_valkey)).await? else {
        return Ok(None);
    };
    let laptop = stage.log_in("laptop", ALICE, Realm::ONLINE).await?;
    let phone = stage.log_in("phone", ALICE, Realm::ONLINE).await?;
    Ok(Some(Devices { stage, laptop, phone }))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_device_is_served_from_its_own_login() -> anyhow::Result<()> {
    for on_valkey in [false, true] {
        let Some(two) = two_devices("two devices", on_valkey).await? else {
            return Ok(());
        };
        for (session, login) in [("laptop", &two.laptop), ("phone", &two.phone)] {
            let token = two.stage.served(&two.stage.call(session, login)).await?;
            assert_eq!(claim(&token, "sid")?, *login.session, "{session}");
        }
        two.stage.assert_refreshes(2, 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_session_is_served_from_the_login_that_it_names() -> anyhow::Result<()> {
    let Some(two) = two_devices("a token without a session", false).await? else {
        return Ok(());
    };
    for login in [&two.laptop, &two.phone] {
        let call = two.stage.deployment.ask(&login.tokens.id_token);
        let token = two.stage.served(&call).await?;
        assert_eq!(claim(&token, "sid")?, *login.session);
    }
    two.stage.assert_refreshes(2, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_one_device_out_ends_its_login_at_keycloak_and_leaves_the_other() -> anyhow::Result<()> {
    for (on_valkey, older) in [(false, true), (false, false), (true, true), (true, false)] {
        let Some(two) = two_devices("signing one device out", on_valkey).await? else {
            return Ok(());
        };
        let (laptop, phone) = (("laptop", &two.laptop), ("phone", &two.phone));
        let ((ended, gone), (left, other)) = if older { (laptop, phone) } else { (phone, laptop) };
        let stage = &two.stage;
        assert_eq!(stage.deployment.end(ended).await?.status, 204);
        stage.wait_for_sessions(ALICE, &[&other.session]).await?;
        assert_eq!(stage.deployment.status(ended).await?.status, 404);
        let refused = stage.call(ended, gone).send().await?;
        assert_eq!(refused.refusal(), (400, "unknown_session"), "{ended}");
        let token = stage.served(&stage.call(left, other)).await?;
        assert_eq!(claim(&token, "sid")?, *other.session);
        stage.assert_refreshes(1, 0).await?;
        assert_eq!(stage.realm.counts().revocations, 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_the_user_out_ends_every_login_at_keycloak() -> anyhow::Result<()> {
    let Some(two) = two_devices("signing the user out", false).await? else {
        return Ok(());
    };
    let signed_out = two.stage.deployment.sign_out(&two.laptop.subject).await?;
    assert_eq!(signed_out.status, 200, "{signed_out:?}");
    two.stage.wait_for_sessions(ALICE, &[]).await?;
    for (session, login) in [("laptop", &two.laptop), ("phone", &two.phone)] {
        assert_eq!(
            two.stage.deployment.status(session).await?.status,
            404,
            "{session}"
        );
        let refused = two.stage.call(session, login).send().await?;
        assert_eq!(refused.refusal(), (400, "unknown_session"), "{session}");
    }
    assert_eq!(two.stage.realm.counts().revocations, 2);
    two.stage.assert_refreshes(0, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_ended_at_keycloak_leaves_the_users_other_device() -> anyhow::Result<()> {
    let Some(two) = two_devices("a login that ended", false).await? else {
        return Ok(());
    };
    two.stage.realm.delete_session(&two.phone).await?;
    let call = two.stage.call("phone", &two.phone);
    two.stage.until_a_login_is_needed(&call).await?;
    let token = two.stage.served(&two.stage.call("laptop", &two.laptop)).await?;
    assert_eq!(claim(&token, "sid")?, *two.laptop.session);
    two.stage.assert_refreshes(1, 1).await
}
