//! Signing out: what goes with the last session, and what comes too late brings nothing back.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, DexUser, Endpoint};

use crate::deployment::{ADMIN, Deployment, Plan};

#[tokio::test]
async fn the_last_session_takes_the_grant_with_it() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.put_login("s-2", &tokens).await?;
    deployment.end("s-1").await?;
    assert_eq!(
        deployment
            .ask(&tokens.id_token)
            .session("s-1")
            .send()
            .await?
            .refusal(),
        (400, "unknown_session")
    );
    assert_eq!(
        deployment
            .ask(&tokens.id_token)
            .session("s-2")
            .send()
            .await?
            .status,
        200
    );
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    deployment.end("s-2").await?;
    // The token alone, still fresh, finds nothing any more.
    assert_eq!(
        deployment.ask(&tokens.id_token).send().await?.refusal(),
        (400, "unknown_session")
    );
    // The user comes back.
    let back = deployment.log_in("s-3").await?;
    assert_eq!(
        deployment.ask(&back.id_token).session("s-3").send().await?.status,
        200
    );
    Ok(())
}

#[tokio::test]
async fn signing_out_ends_all_sessions_of_the_user_and_of_no_other() -> anyhow::Result<()> {
    let other = "other@example.com";
    let dex = DexConfig::default()
        .id_token_lifetime(Duration::from_secs(300))
        .user(DexUser::new(other));
    let deployment = Deployment::start(Plan {
        dex,
        ..Plan::default()
    })
    .await?;
    let mine = deployment.log_in("s-1").await?;
    deployment.put_login("s-2", &mine).await?;
    let theirs = deployment.log_in_as("s-3", other).await?;
    let subject = deployment.dex.subject(ADMIN);
    assert_eq!(deployment.sign_out(&subject).await?.body, json!({"sessions": 2}));
    assert_eq!(deployment.sign_out(&subject).await?.body, json!({"sessions": 0}));
    for session in ["s-1", "s-2"] {
        let answer = deployment.ask(&mine.id_token).session(session).send().await?;
        assert_eq!(answer.refusal(), (400, "unknown_session"));
        assert_eq!(deployment.status(session).await?.status, 404);
    }
    assert_eq!(
        deployment
            .ask(&theirs.id_token)
            .session("s-3")
            .send()
            .await?
            .status,
        200
    );
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_lands_after_a_sign_out_brings_nothing_back() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token);
    let (answer, ended) = tokio::join!(ask.send(), async {
        deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        let ended = deployment.end("s-1").await;
        deployment.dex.release(Endpoint::Refresh);
        ended
    });
    assert_eq!(ended?.status, 204);
    assert_eq!(answer?.refusal(), (400, "unknown_session"));
    assert_eq!(
        deployment.ask(&tokens.id_token).send().await?.refusal(),
        (400, "unknown_session")
    );
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 1);
    Ok(())
}

#[tokio::test]
async fn a_session_id_of_another_users_login_is_refused_and_ends_nothing() -> anyhow::Result<()> {
    let other = "other@example.com";
    let dex = DexConfig::default()
        .id_token_lifetime(Duration::from_secs(300))
        .user(DexUser::new(other));
    let deployment = Deployment::start(Plan {
        dex,
        ..Plan::default()
    })
    .await?;
    let mine = deployment.log_in("s-1").await?;
    let theirs = deployment.dex.log_in(other, "muster").await?;
    let put = deployment.put_login("s-1", &theirs).await?;
    assert_eq!(put.refusal(), (409, "bad_request"), "{put:?}");
    assert!(put.text("error_description").contains("another user"), "{put:?}");
    let ask = deployment.ask(&mine.id_token).session("s-1");
    assert_eq!(ask.send().await?.token(), mine.id_token);
    let ask = deployment.ask(&theirs.id_token).session("s-1");
    assert_eq!(ask.send().await?.refusal(), (400, "subject_rejected"));
    // The id of an ended login is free.
    deployment.end("s-1").await?;
    assert_eq!(deployment.put_login("s-1", &theirs).await?.status, 201);
    assert_eq!(
        deployment
            .ask(&theirs.id_token)
            .session("s-1")
            .send()
            .await?
            .status,
        200
    );
    Ok(())
}

#[tokio::test]
async fn of_two_users_with_one_session_id_put_at_once_one_gets_it_for_good() -> anyhow::Result<()> {
    let other = "other@example.com";
    for _ in 0..20 {
        let dex = DexConfig::default().user(DexUser::new(other));
        let deployment = Deployment::start(Plan {
            dex,
            ..Plan::default()
        })
        .await?;
        let mine = deployment.dex.log_in(ADMIN, "muster").await?;
        let theirs = deployment.dex.log_in(other, "muster").await?;
        let (first, second) = tokio::join!(
            deployment.put_login("s-1", &mine),
            deployment.put_login("s-1", &theirs)
        );
        let (first, second) = (first?.status, second?.status);
        let (winner, loser) = match (first, second) {
            (201, 409) => (&mine, &theirs),
            (409, 201) => (&theirs, &mine),
            both => panic!("{both:?}"),
        };
        let ask = deployment.ask(&winner.id_token).session("s-1");
        assert_eq!(ask.send().await?.token(), winner.id_token);
        // Nothing is left of the other: no session has its login.
        assert_ne!(deployment.ask(&loser.id_token).send().await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_sign_out_that_is_cut_short_has_ended_every_session_all_the_same() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let before = deployment.log_in("s-1").await?;
    deployment.put_login("s-2", &before).await?;
    // The grant can be written, the sessions cannot be listed.
    deployment.store().set_broken(Some("members"));
    let subject = deployment.dex.subject(ADMIN);
    assert_eq!(
        deployment.sign_out(&subject).await?.refusal(),
        (503, "store_unavailable")
    );
    deployment.store().set_broken(None);
    let refused = (400, "unknown_session");
    for session in ["s-1", "s-2"] {
        let ask = deployment.ask(&before.id_token).session(session);
        assert_eq!(ask.send().await?.refusal(), refused);
        assert_eq!(deployment.status(session).await?.status, 404);
    }
    assert_eq!(deployment.ask(&before.id_token).send().await?.refusal(), refused);
    // A new login brings neither the old sessions nor the old token back.
    deployment.advance(5);
    let after = deployment.log_in("s-3").await?;
    let ask = deployment.ask(&after.id_token);
    assert_eq!(ask.clone().session("s-3").send().await?.status, 200);
    assert_eq!(ask.send().await?.status, 200);
    for session in ["s-1", "s-2"] {
        let ask = deployment.ask(&after.id_token).session(session);
        assert_eq!(ask.send().await?.refusal(), refused);
        assert_eq!(deployment.status(session).await?.status, 404);
    }
    assert_eq!(deployment.ask(&before.id_token).send().await?.refusal(), refused);
    Ok(())
}
