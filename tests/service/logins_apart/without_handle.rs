//! A token request without a session handle: the login of the token's own session at the issuer, else the user's newest.

use tokenward_harness::issuer::LoginTokens;

use super::stage::{asked, logged_in, presented, served, start};
use crate::deployment::{ADMIN, Answer, Deployment};

async fn without_handle(deployment: &Deployment, login: &LoginTokens) -> anyhow::Result<Answer> {
    deployment.ask(&login.id_token).send().await
}

#[tokio::test]
async fn a_token_that_names_its_session_at_the_issuer_gets_that_login() -> anyhow::Result<()> {
    let deployment = start().await?;
    let first = logged_in(&deployment, "s-1", "sid-1").await?;
    deployment.advance(1);
    let second = logged_in(&deployment, "s-2", "sid-2").await?;
    deployment.advance(301);
    for (login, session) in [(&first, "s-1"), (&second, "s-2")] {
        let answer = without_handle(&deployment, login).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.token(), served(&deployment, login, session).await?);
    }
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

#[tokio::test]
async fn another_token_gets_the_users_newest_login_that_is_alive() -> anyhow::Result<()> {
    let deployment = start().await?;
    let mut logins = Vec::new();
    for number in 0..3 {
        logins.push(deployment.log_in(&format!("s-{number}")).await?);
        deployment.advance(1);
    }
    deployment.advance(301);
    let newest = served(&deployment, &logins[2], "s-2").await?;
    for login in &logins {
        assert_eq!(without_handle(&deployment, login).await?.token(), newest);
    }
    assert_eq!(presented(&deployment), 1);
    deployment.end("s-2").await?;
    let answer = without_handle(&deployment, &logins[0]).await?;
    assert_eq!(answer.token(), served(&deployment, &logins[1], "s-1").await?);
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

#[tokio::test]
async fn the_token_of_a_login_that_has_ended_opens_no_other_login() -> anyhow::Result<()> {
    let deployment = start().await?;
    let first = logged_in(&deployment, "s-1", "sid-1").await?;
    let second = logged_in(&deployment, "s-2", "sid-2").await?;
    deployment.end("s-2").await?;
    assert_eq!(
        without_handle(&deployment, &second).await?.refusal(),
        (400, "unknown_session")
    );
    assert_eq!(without_handle(&deployment, &first).await?.token(), first.id_token);
    // Dead at the issuer, it needs a login, whatever else the user has.
    deployment.dex.revoke(ADMIN, "muster");
    logged_in(&deployment, "s-3", "sid-3").await?;
    deployment.advance(301);
    assert_eq!(
        without_handle(&deployment, &first).await?.refusal(),
        (400, "needs_login")
    );
    Ok(())
}

#[tokio::test]
async fn a_dead_login_is_passed_over_for_a_token_that_names_none() -> anyhow::Result<()> {
    let deployment = start().await?;
    let first = deployment.log_in("s-1").await?;
    deployment.advance(1);
    // Nothing renews it.
    let id_token = deployment.dex.mint(ADMIN, "muster").token();
    assert_eq!(
        deployment
            .put("s-2", &id_token, Some("never issued"))
            .await?
            .status,
        201
    );
    deployment.advance(301);
    let dead = deployment.ask(&id_token).session("s-2").send().await?;
    assert_eq!(dead.refusal(), (400, "needs_login"));
    let answer = without_handle(&deployment, &first).await?;
    assert_eq!(answer.token(), served(&deployment, &first, "s-1").await?);
    assert_eq!(presented(&deployment), 2);
    Ok(())
}

#[tokio::test]
async fn a_request_of_a_user_with_many_logins_reads_few_of_them() -> anyhow::Result<()> {
    const LOGINS: usize = 60;
    let deployment = start().await?;
    let first = logged_in(&deployment, "s-first", "sid-first").await?;
    let mut last = None;
    for number in 0..LOGINS {
        let session = format!("s-{number}");
        last = Some(logged_in(&deployment, &session, &format!("sid-{number}")).await?);
        // Most of them have ended.
        if number < LOGINS - 20 {
            deployment.end(&session).await?;
        }
    }
    let last = last.expect("there are some");
    let no_sid = deployment.dex.mint(ADMIN, "muster").token();
    for (token, served) in [
        (&first.id_token, &first.id_token),
        (&last.id_token, &last.id_token),
    ] {
        let before = deployment.store().grant_reads();
        assert_eq!(deployment.ask(token).send().await?.token(), served);
        let reads = deployment.store().grant_reads() - before;
        assert!(reads <= 5, "{reads} reads of grants");
    }
    let before = deployment.store().grant_reads();
    assert_eq!(deployment.ask(&no_sid).send().await?.status, 200);
    assert!(deployment.store().grant_reads() - before <= 5);
    Ok(())
}

#[tokio::test]
async fn a_token_of_another_user_than_the_sessions_is_refused() -> anyhow::Result<()> {
    let other = "other@example.com";
    let mut plan = super::stage::plan();
    plan.dex = plan.dex.user(tokenward_harness::issuer::DexUser::new(other));
    let deployment = Deployment::start(plan).await?;
    let own = deployment.log_in("s-1").await?;
    let others = deployment.log_in_as("s-2", other).await?;
    for (login, session) in [(&own, "s-2"), (&others, "s-1")] {
        assert_eq!(
            asked(&deployment, login, session).await?.refusal(),
            (400, "subject_rejected")
        );
    }
    // Any token of the user proves the user of the session.
    let another = deployment.log_in("s-3").await?;
    assert_eq!(asked(&deployment, &another, "s-1").await?.token(), own.id_token);
    Ok(())
}
