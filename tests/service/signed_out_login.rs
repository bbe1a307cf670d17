//! A login of before a sign-out is over: putting it again brings nothing back, and a new login is never mistaken for it.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::LoginTokens;

use crate::deployment::{ADMIN, Answer, Deployment, Plan};

const REFUSED: (u16, &str) = (400, "subject_rejected");

async fn sign_out(deployment: &Deployment) -> anyhow::Result<Answer> {
    deployment.sign_out(&deployment.dex.subject(ADMIN)).await
}

/// The login is refused, under its old session and under a new one, and opens nothing.
async fn assert_over(deployment: &Deployment, login: &LoginTokens) -> anyhow::Result<()> {
    let presented = deployment.dex.counts().refreshes_presented;
    for session in ["s-1", "s-again"] {
        let put = deployment.put_login(session, login).await?;
        assert_eq!(put.refusal(), REFUSED, "{put:?}");
        assert!(put.text("error_description").contains("signed out"), "{put:?}");
        assert_eq!(deployment.status(session).await?.status, 404);
        let without = deployment.put(session, &login.id_token, None).await?;
        assert_eq!(without.status, 400, "{without:?}");
    }
    let answer = deployment.ask(&login.id_token).send().await?;
    assert_eq!(answer.refusal(), (400, "unknown_session"), "{answer:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, presented);
    Ok(())
}

async fn both_stores(test: impl AsyncFn(&mut Deployment) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for valkey in [false, true] {
        let mut deployment = Deployment::start(Plan {
            valkey,
            ..Plan::default()
        })
        .await?;
        test(&mut deployment).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_old_login_is_refused_after_a_sign_out_also_much_later_and_after_a_restart() -> anyhow::Result<()>
{
    both_stores(async |deployment| {
        let login = deployment.log_in("s-1").await?;
        deployment.advance(10);
        assert_eq!(sign_out(deployment).await?.body, json!({"sessions": 1}));
        assert_over(deployment, &login).await?;
        deployment.add_replica().await?;
        deployment.advance(4000);
        assert_over(deployment, &login).await
    })
    .await
}

#[tokio::test]
async fn a_login_that_was_refreshed_or_ended_before_the_sign_out_is_refused_too() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let login = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let refreshed = deployment.ask(&login.id_token).send().await?;
    assert_eq!(refreshed.status, 200);
    sign_out(&deployment).await?;
    assert_over(&deployment, &login).await?;
    // The newest ID token of it, known only to control until then.
    let put = deployment
        .put("s-1", refreshed.token(), Some(&login.refresh_token))
        .await?;
    assert_eq!(put.refusal(), REFUSED);

    let deployment = Deployment::start(Plan::default()).await?;
    let login = deployment.log_in("s-1").await?;
    deployment.end("s-1").await?;
    deployment.advance(2);
    assert_eq!(sign_out(&deployment).await?.body, json!({"sessions": 0}));
    assert_over(&deployment, &login).await
}

#[tokio::test]
async fn a_login_that_was_never_put_is_over_as_well_when_its_user_signs_out() -> anyhow::Result<()> {
    both_stores(async |deployment| {
        let login = deployment.dex.log_in(ADMIN, "muster").await?;
        deployment.advance(2);
        assert_eq!(sign_out(deployment).await?.body, json!({"sessions": 0}));
        assert_over(deployment, &login).await?;
        deployment.advance(1);
        deployment.log_in("s-2").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_user_back_in_the_same_second_is_let_in_and_the_old_login_is_not() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let old = deployment.log_in("s-1").await?;
    sign_out(&deployment).await?;
    assert_over(&deployment, &old).await?;
    let new = deployment.log_in("s-2").await?;
    let ask = deployment.ask(&new.id_token).session("s-2");
    assert_eq!(ask.send().await?.status, 200);
    let put = deployment.put_login("s-1", &old).await?;
    assert_eq!(put.refusal(), REFUSED, "{put:?}");
    assert_eq!(ask.send().await?.token(), new.id_token);
    assert_eq!(deployment.status("s-2").await?.text("state"), "active");
    Ok(())
}

#[tokio::test]
async fn an_old_login_is_refused_beside_the_new_one_which_goes_on() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let old = deployment.log_in("s-1").await?;
    deployment.advance(10);
    sign_out(&deployment).await?;
    deployment.advance(10);
    let new = deployment.log_in("s-2").await?;
    assert_over(&deployment, &old).await?;
    deployment.advance(301);
    let answer = deployment.ask(&new.id_token).session("s-2").send().await?;
    assert_eq!(answer.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 1);
    Ok(())
}

/// The issuer's clock is ahead of control's: its old login looks younger than the sign-out.
#[tokio::test]
async fn a_login_known_here_is_over_although_the_issuers_clock_is_ahead() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let now_seconds = deployment.clock().now_ms() / 1000;
    let ahead = |seconds: i64| {
        let draft = deployment
            .dex
            .mint(ADMIN, "muster")
            .claim("iat", now_seconds + seconds);
        draft.expires_in_seconds(600).token()
    };
    deployment.put("s-1", &ahead(40), Some("first")).await?;
    sign_out(&deployment).await?;
    for (id_token, refresh_token) in [
        (ahead(40), Some("first")),
        (ahead(39), Some("other")),
        (ahead(40), None),
    ] {
        let put = deployment.put("s-1", &id_token, refresh_token).await?;
        assert_eq!(put.refusal(), REFUSED, "{put:?}");
    }
    assert_eq!(deployment.put("s-1", &ahead(41), Some("next")).await?.status, 201);
    Ok(())
}

#[tokio::test]
async fn the_mark_of_a_sign_out_outlives_the_grace_in_which_a_login_can_be_put() -> anyhow::Result<()> {
    let settings = json!({"session_lifetime": "1h", "stale_subject_grace": "48h"});
    let deployment = Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await?;
    let login = deployment.log_in("s-1").await?;
    deployment.advance(1);
    sign_out(&deployment).await?;
    deployment.clock().advance(Duration::from_secs(47 * 3600));
    let put = deployment.put_login("s-1", &login).await?;
    assert_eq!(put.refusal(), REFUSED, "{put:?}");
    assert!(put.text("error_description").contains("signed out"), "{put:?}");
    Ok(())
}

#[tokio::test]
async fn an_outage_during_a_sign_out_signs_out_or_reports_that_it_did_not() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let login = deployment.log_in("s-1").await?;
    deployment.advance(2);
    deployment.store().set_broken(Some("write"));
    assert_eq!(sign_out(&deployment).await?.refusal(), (503, "store_unavailable"));
    deployment.store().set_broken(None);
    assert_eq!(deployment.put_login("s-1", &login).await?.status, 200);
    sign_out(&deployment).await?;
    assert_over(&deployment, &login).await
}
