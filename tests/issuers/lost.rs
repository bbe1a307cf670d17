//! Requests and answers that are lost between control and Keycloak. Introspection decides whether a refresh token is used up.

use std::time::Duration;

use tokenward_harness::parts::keycloak::Realm;

use super::stage::{ALICE, BOB, PATIENCE, Stage};

/// Longer than any story waits for it.
const LATE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_answer_is_lost_costs_the_login_and_is_not_presented_again() -> anyhow::Result<()> {
    for scope in [Realm::ONLINE, Realm::OFFLINE] {
        let Some(stage) = Stage::set("an answer that is lost").await? else {
            return Ok(());
        };
        let login = stage.log_in("s-1", ALICE, scope).await?;
        stage.realm.lose_answers(1);
        let call = stage.call("s-1", &login);
        let why = stage.until_a_login_is_needed(&call).await?;
        assert!(why.contains("answer to a refresh was lost"), "{why}");
        assert!(stage.realm.counts().introspections >= 1);
        stage.assert_refreshes(1, 0).await?;
        // The user comes back, and the new login is refreshed as any other.
        let again = stage.log_in("s-1", ALICE, scope).await?;
        stage.served(&stage.call("s-1", &again)).await?;
        stage.assert_refreshes(2, 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_keycloak_never_saw_is_presented_once_it_says_so() -> anyhow::Result<()> {
    for scope in [Realm::ONLINE, Realm::OFFLINE] {
        let Some(stage) = Stage::set("a request that is lost").await? else {
            return Ok(());
        };
        let login = stage.log_in("s-1", ALICE, scope).await?;
        stage.realm.lose_requests(1);
        let token = stage.served(&stage.call("s-1", &login)).await?;
        assert_ne!(token, login.tokens.id_token);
        assert!(stage.realm.counts().introspections >= 1);
        stage.assert_refreshes(1, 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_while_keycloaks_answer_is_on_its_way_needs_a_login() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::set("a kill while the answer is on its way").await? else {
        return Ok(());
    };
    let login = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    stage.realm.set_delay(LATE);
    let call = stage.call("s-1", &login);
    tokio::select! {
        biased;
        refreshed = stage.realm.wait_for_counts(|counts| counts.refreshes_succeeded == 1, PATIENCE) => {
            refreshed?;
        }
        answer = call.send() => anyhow::bail!("the answer was not on its way any more: {answer:?}"),
    }
    stage.deployment.replicas.controls[0].kill()?;
    stage.realm.set_delay(Duration::ZERO);
    stage.deployment.replicas.controls[0].restart().await?;
    let why = stage.until_a_login_is_needed(&call).await?;
    assert!(why.contains("answer to a refresh was lost"), "{why}");
    stage.assert_refreshes(1, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_keycloak_is_away_callers_get_503_and_every_login_survives() -> anyhow::Result<()> {
    let Some(stage) = Stage::set("an outage").await? else {
        return Ok(());
    };
    let logins = [("s-1", ALICE), ("s-2", BOB)];
    let mut calls = Vec::new();
    for (session, email) in logins {
        let login = stage.log_in(session, email, Realm::ONLINE).await?;
        calls.push(stage.call(session, &login));
    }
    stage.realm.set_down(true);
    for call in &calls {
        for _ in 0..5 {
            let answer = call.send().await?;
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.retry_after().is_some(), "{answer:?}");
        }
    }
    stage.assert_refreshes(0, 0).await?;
    stage.realm.set_down(false);
    for call in &calls {
        stage.served(call).await?;
    }
    stage.assert_refreshes(2, 0).await
}
