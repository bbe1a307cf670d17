//! Logins that pass through the relay, beside registrations, sign-outs and newer logins.

use super::stage::{Held, behind_a_relay, learned, presented, refreshed};
use crate::deployment::{ADMIN, Deployment, Plan, RelayAnswer};

/// A refresh with `token` is refused in Dex's words for a dead one.
async fn assert_ended(deployment: &Deployment, token: &str) -> anyhow::Result<()> {
    let answer: RelayAnswer = deployment.relayed_refresh(0, token).send().await?;
    assert_eq!(
        (answer.status, answer.text("error").as_str()),
        (400, "invalid_request")
    );
    assert!(
        answer.text("error_description").contains("already been claimed"),
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_sign_out_ends_a_learned_login_for_its_client_without_a_call() -> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(301);
    let newer = refreshed(&deployment, 0, &login.refresh_token).await?;
    let signed_out = deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
    assert_eq!(signed_out.status, 200, "{signed_out:?}");
    for token in [&login.refresh_token, &newer.refresh_token] {
        assert_ended(&deployment, token).await?;
    }
    assert_eq!(presented(&deployment), 1);
    // A new login, a second later, is another matter.
    deployment.advance(2);
    let again = learned(&deployment).await?;
    deployment.advance(200);
    refreshed(&deployment, 0, &again.refresh_token).await?;
    assert_ended(&deployment, &newer.refresh_token).await?;
    Ok(())
}

#[tokio::test]
async fn a_refresh_by_an_unknown_token_is_no_login_after_a_sign_out() -> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = deployment.dex.log_in(ADMIN, "muster").await?;
    deployment.advance(5);
    deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
    for _ in 0..2 {
        assert_ended(&deployment, &login.refresh_token).await?;
    }
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn a_registered_login_and_its_clients_refreshes_have_one_owner() -> anyhow::Result<()> {
    let deployment = behind_a_relay(2, Plan::default()).await?;
    let login = deployment.log_in("s-1").await?;
    // Double owners: the aggregator goes on refreshing what it has registered.
    let mut token = login.refresh_token.clone();
    for round in 1..=5 {
        deployment.advance(301);
        let served = deployment.ask(&login.id_token).session("s-1").send().await?;
        assert_eq!(served.status, 200, "{round}: {served:?}");
        let held = refreshed(&deployment, round % 2, &token).await?;
        assert_eq!(held.id_token, served.token());
        token = held.refresh_token;
        assert_eq!(presented(&deployment), round);
    }
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 5);
    // The end of the session is the end of the login.
    deployment.end("s-1").await?;
    assert_ended(&deployment, &token).await?;
    assert_eq!(presented(&deployment), 5);
    Ok(())
}

#[tokio::test]
async fn a_registration_of_a_login_that_a_client_has_refreshed_finds_its_tokens() -> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = deployment.dex.log_in(ADMIN, "muster").await?;
    deployment.advance(100);
    let held = refreshed(&deployment, 0, &login.refresh_token).await?;
    let put = deployment.put_login("s-1", &login).await?;
    assert_eq!(put.status, 201, "{put:?}");
    let served = deployment.ask(&login.id_token).session("s-1").send().await?;
    assert_eq!(served.token(), held.id_token);
    deployment.advance(301);
    let served = deployment.ask(&login.id_token).session("s-1").send().await?;
    assert_eq!(served.status, 200, "{served:?}");
    assert_eq!(presented(&deployment), 2);
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn a_newer_login_takes_the_place_of_a_learned_one() -> anyhow::Result<()> {
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let first = learned(&deployment).await?;
    deployment.advance(5);
    let second = learned(&deployment).await?;
    deployment.advance(301);
    let served = deployment.ask(&first.id_token).send().await?;
    assert_eq!(served.status, 200, "{served:?}");
    let held = refreshed(&deployment, 0, &second.refresh_token).await?;
    assert_eq!(held.id_token, served.token());
    // Dex has ended the first.
    assert_ended(&deployment, &first.refresh_token).await?;
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 1);
    let again = refreshed(&deployment, 0, &held.refresh_token).await?;
    assert_eq!(again, held);
    Ok(())
}

/// The client's sign-out does not reach control, so a stale token proves a learned login for an hour, a registered one for a
/// week.
#[tokio::test]
async fn a_stale_token_proves_a_learned_login_for_an_hour_and_a_registered_one_longer() -> anyhow::Result<()>
{
    let deployment = behind_a_relay(1, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(300 + 3590);
    let served = deployment.ask(&login.id_token).send().await?;
    assert_eq!(served.status, 200, "{served:?}");
    deployment.advance(20);
    let refused = deployment.ask(&login.id_token).send().await?;
    assert_eq!(refused.refusal(), (400, "token_expired"));
    let newer = deployment.ask(served.token()).send().await?;
    assert_eq!(newer.status, 200, "{newer:?}");
    assert_eq!(presented(&deployment), 1);
    // The aggregator registers what it holds: its sign-outs reach control from then on.
    let put = deployment
        .put("s-1", served.token(), Some(&login.refresh_token))
        .await?;
    assert_eq!(put.status, 201, "{put:?}");
    let again = deployment.ask(&login.id_token).send().await?;
    assert_eq!((again.status, again.token()), (200, newer.token()));
    Ok(())
}

#[tokio::test]
async fn a_clients_answers_outlive_a_restart() -> anyhow::Result<()> {
    let mut deployment = behind_a_relay(1, Plan::default()).await?;
    let login = learned(&deployment).await?;
    deployment.advance(200);
    let held = refreshed(&deployment, 0, &login.refresh_token).await?;
    let restarted = deployment.add_replica().await?;
    for token in [&login.refresh_token, &held.refresh_token] {
        let answer = deployment.relayed_refresh(restarted, token).send().await?;
        assert_eq!(Held::of(&answer), held);
    }
    assert_eq!(presented(&deployment), 1);
    Ok(())
}
