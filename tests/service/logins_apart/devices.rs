//! Two devices of one user.

use std::collections::BTreeSet;

use tokenward_harness::issuer::fingerprint;

use super::stage::{asked, plan, presented, revoked, served, start};
use crate::deployment::{Deployment, Plan, at_once};

#[tokio::test]
async fn two_logins_of_a_user_are_refreshed_once_each_for_all_callers_and_replicas() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let deployment = Deployment::start(Plan {
            replicas: 3,
            valkey,
            ..plan()
        })
        .await?;
        let first = deployment.log_in("s-1").await?;
        let second = deployment.log_in("s-2").await?;
        deployment.advance(301);
        let calls = (0..60).map(|call| {
            let (login, session) = if call % 2 == 0 {
                (&first, "s-1")
            } else {
                (&second, "s-2")
            };
            let ask = deployment.ask(&login.id_token).session(session).replica(call % 3);
            async move { (session, ask.send().await) }
        });
        let mut tokens = BTreeSet::new();
        for (session, answer) in at_once(calls).await {
            let answer = answer?;
            assert_eq!(answer.status, 200, "{answer:?}");
            tokens.insert((session, answer.token().to_owned()));
        }
        assert_eq!(tokens.len(), 2, "one token for each login");
        let different: BTreeSet<&str> = tokens.iter().map(|(_, token)| token.as_str()).collect();
        assert_eq!(different.len(), 2, "each has its own");
        assert_eq!(presented(&deployment), 2);
    }
    Ok(())
}

#[tokio::test]
async fn logging_one_device_out_leaves_the_other_its_login() -> anyhow::Result<()> {
    for newer_first in [true, false] {
        let deployment = start().await?;
        let logins = [deployment.log_in("s-0").await?, deployment.log_in("s-1").await?];
        let (ended, left) = if newer_first { (1, 0) } else { (0, 1) };
        let (ended_session, left_session) = (format!("s-{ended}"), format!("s-{left}"));
        assert_eq!(deployment.end(&ended_session).await?.status, 204);
        assert_eq!(deployment.status(&ended_session).await?.status, 404);
        assert_eq!(
            asked(&deployment, &logins[ended], &ended_session)
                .await?
                .refusal(),
            (400, "unknown_session")
        );
        assert_eq!(
            revoked(&deployment).await,
            [fingerprint(&logins[ended].refresh_token)]
        );
        deployment.advance(301);
        for _ in 0..3 {
            served(&deployment, &logins[left], &left_session).await?;
        }
        assert_eq!(presented(&deployment), 1);
        assert_eq!(deployment.status(&left_session).await?.text("state"), "active");
    }
    Ok(())
}

#[tokio::test]
async fn sessions_of_one_login_share_its_refresh_and_the_last_one_ends_it() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        replicas: 2,
        ..plan()
    })
    .await?;
    let login = deployment.log_in("s-1").await?;
    assert_eq!(deployment.put_login("s-2", &login).await?.status, 201);
    deployment.advance(301);
    let tokens = [
        served(&deployment, &login, "s-1").await?,
        served(&deployment, &login, "s-2").await?,
    ];
    assert_eq!(tokens[0], tokens[1]);
    assert_eq!(presented(&deployment), 1);
    // What the login once gave the aggregator, put again: the newest tokens stay.
    assert_eq!(deployment.put_login("s-3", &login).await?.status, 201);
    assert_eq!(served(&deployment, &login, "s-3").await?, tokens[0]);
    for session in ["s-1", "s-2"] {
        assert_eq!(deployment.end(session).await?.status, 204);
    }
    assert_eq!(revoked(&deployment).await.len(), 0, "s-3 still needs it");
    assert_eq!(deployment.end("s-3").await?.status, 204);
    assert_eq!(revoked(&deployment).await.len(), 1);
    assert_eq!(presented(&deployment), 1);
    Ok(())
}

#[tokio::test]
async fn a_login_that_is_dead_at_the_issuer_leaves_the_users_other_one_alive() -> anyhow::Result<()> {
    let deployment = start().await?;
    let first = deployment.log_in("s-1").await?;
    deployment.dex.revoke(crate::deployment::ADMIN, "muster");
    let second = deployment.log_in("s-2").await?;
    deployment.advance(301);
    assert_eq!(
        asked(&deployment, &first, "s-1").await?.refusal(),
        (400, "needs_login")
    );
    served(&deployment, &second, "s-2").await?;
    let states = [deployment.status("s-1").await?, deployment.status("s-2").await?];
    assert_eq!(
        states.each_ref().map(|status| status.text("state")),
        ["needs_login", "active"]
    );
    assert_eq!(presented(&deployment), 2);
    Ok(())
}
