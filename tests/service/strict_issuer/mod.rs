//! oidc-provider with reuse detection on: whatever happens to control or its store, no grant of it is ever burnt. An
//! answer that is truly lost costs a login, and never a second presentation.

mod stage;

use std::time::Duration;

use stage::{PATIENCE, Stage};

/// Longer than any story waits for it.
const LATE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn fifty_callers_of_two_replicas_and_many_rotations_burn_nothing() -> anyhow::Result<()> {
    let Some(stage) = Stage::set("fifty callers at a strict issuer", 2, true).await? else {
        return Ok(());
    };
    let mut presented = stage.log_in("alice").await?.id_token;
    stage.issuer.set_delay(Duration::from_millis(200));
    for round in 1..=4 {
        let asking = (0..50).map(|caller| stage.ask(caller % 2, &presented));
        let mut tokens = Vec::new();
        for told in crate::deployment::at_once(asking).await {
            let told = told?;
            assert_eq!(told.status, 200, "round {round}: {told:?}");
            tokens.push(told.token().to_owned());
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "round {round}");
        assert_ne!(tokens[0], presented);
        presented.clone_from(&tokens[0]);
        stage.assert_nothing_is_burnt(round).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_service_killed_between_presenting_and_storing_needs_a_login_and_presents_nothing_twice()
-> anyhow::Result<()> {
    let Some(mut stage) = Stage::set("a kill at a strict issuer", 1, false).await? else {
        return Ok(());
    };
    let tokens = stage.log_in("alice").await?;
    stage.issuer.set_delay(LATE);
    // The keys are known from the login; the refresh is done, and its answer is on the way for two minutes.
    stage.ask_and_leave_once_refreshed(0, &tokens.id_token).await?;
    stage.deployment.replicas.controls[0].kill()?;
    stage.issuer.set_delay(Duration::ZERO);
    stage.deployment.replicas.controls[0].restart().await?;
    stage.ask_until_a_login_is_needed(0, &tokens.id_token).await?;
    stage.assert_nothing_is_burnt(1).await?;
    let tokens = stage.log_in("alice").await?;
    assert_eq!(stage.ask_until_settled(0, &tokens.id_token).await?.status, 200);
    stage.assert_nothing_is_burnt(2).await
}

#[tokio::test]
async fn a_service_that_ends_in_order_stores_the_answer_under_way() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::set("an orderly end at a strict issuer", 1, false).await? else {
        return Ok(());
    };
    let tokens = stage.log_in("alice").await?;
    stage.issuer.set_delay(Duration::from_secs(2));
    stage.ask_and_leave_once_refreshed(0, &tokens.id_token).await?;
    let (status, log) = stage.deployment.replicas.controls[0].terminate(PATIENCE).await?;
    assert!(status.success(), "{status}: {}", log.tail(10));
    stage.issuer.set_delay(Duration::ZERO);
    stage.deployment.replicas.controls[0].restart().await?;
    assert_eq!(stage.ask_until_settled(0, &tokens.id_token).await?.status, 200);
    let state = stage.issuer.state().await?;
    assert_eq!(
        (state.presented_again, state.revoked, state.grants_alive),
        (0, 0, 1),
        "{state:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_store_that_forgot_a_refresh_gets_it_back_from_the_replica_that_made_it() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::set("a lost write at a strict issuer", 1, true).await? else {
        return Ok(());
    };
    let tokens = stage.log_in("alice").await?;
    stage.save_valkey().await?;
    let served = stage.ask(0, &tokens.id_token).await?;
    assert_eq!(served.status, 200, "{served:?}");
    stage.restore_valkey().await?;
    let told = stage.ask_until_settled(0, &tokens.id_token).await?;
    assert_eq!((told.status, told.token()), (200, served.token()));
    stage.assert_nothing_is_burnt(1).await?;
    // And so it goes on, once the issuer has confirmed that nothing came after it.
    let told = stage.ask_until_renewed(0, served.token()).await?;
    assert_eq!(told.status, 200, "{told:?}");
    stage.assert_nothing_is_burnt(2).await
}

#[tokio::test]
async fn a_replica_that_only_knows_of_the_presentation_presents_nothing_again() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::set("a lost commit at a strict issuer", 1, true).await? else {
        return Ok(());
    };
    let tokens = stage.log_in("alice").await?;
    stage.issuer.set_delay(Duration::from_secs(2));
    let (told, saved) = tokio::join!(stage.ask(0, &tokens.id_token), async {
        stage.issuer.wait_until_refreshed(2, PATIENCE).await?;
        stage.save_valkey().await
    });
    saved?;
    assert_eq!(told?.status, 200);
    stage.issuer.set_delay(Duration::ZERO);
    // No process is left that knows the outcome.
    stage.deployment.replicas.controls[0].kill()?;
    if let Some(valkey) = &mut stage.deployment.replicas.valkey {
        valkey.kill()?;
        valkey.restart().await?;
    }
    stage.deployment.replicas.controls[0].restart().await?;
    stage.ask_until_a_login_is_needed(0, &tokens.id_token).await?;
    stage.assert_nothing_is_burnt(1).await
}

#[tokio::test]
async fn a_store_without_any_trace_of_a_refresh_makes_no_replica_present_its_token_again()
-> anyhow::Result<()> {
    let Some(mut stage) = Stage::set("a lost refresh at a strict issuer", 2, true).await? else {
        return Ok(());
    };
    let tokens = stage.log_in("alice").await?;
    stage.save_valkey().await?;
    assert_eq!(stage.ask(0, &tokens.id_token).await?.status, 200);
    // With the replica that made it goes the new refresh token.
    stage.deployment.remove_replica(0).kill()?;
    stage.restore_valkey().await?;
    stage.ask_until_a_login_is_needed(0, &tokens.id_token).await?;
    stage.assert_nothing_is_burnt(1).await?;
    let tokens = stage.log_in("alice").await?;
    assert_eq!(stage.ask_until_settled(0, &tokens.id_token).await?.status, 200);
    stage.assert_nothing_is_burnt(2).await
}

#[tokio::test]
async fn a_store_that_came_back_with_all_it_had_costs_no_login() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::set("a restarted store at a strict issuer", 2, true).await? else {
        return Ok(());
    };
    let tokens = stage.log_in("alice").await?;
    stage.save_valkey().await?;
    stage.restore_valkey().await?;
    let told = stage.ask_until_renewed(1, &tokens.id_token).await?;
    assert_eq!(told.status, 200, "{told:?}");
    stage.assert_nothing_is_burnt(1).await
}

#[tokio::test]
async fn an_answer_that_comes_while_the_store_hangs_is_stored_later() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::set("a hanging store at a strict issuer", 1, true).await? else {
        return Ok(());
    };
    let tokens = stage.log_in("alice").await?;
    stage.issuer.set_delay(Duration::from_secs(2));
    stage.ask_and_leave_once_refreshed(0, &tokens.id_token).await?;
    if let Some(valkey) = &mut stage.deployment.replicas.valkey {
        valkey.pause()?;
    }
    // Longer than the answer takes and two deadlines of the store.
    let told = stage.ask(0, &tokens.id_token).await?;
    assert_eq!(told.refusal(), (503, "store_unavailable"));
    let told = stage.ask(0, &tokens.id_token).await?;
    assert_eq!(told.refusal(), (503, "store_unavailable"));
    stage.issuer.set_delay(Duration::ZERO);
    if let Some(valkey) = &mut stage.deployment.replicas.valkey {
        valkey.resume()?;
    }
    assert_eq!(stage.ask_until_settled(0, &tokens.id_token).await?.status, 200);
    let state = stage.issuer.state().await?;
    assert_eq!(
        (state.presented_again, state.revoked, state.grants_alive),
        (0, 0, 1),
        "{state:?}"
    );
    Ok(())
}
