//! Every way in which a user, a session or an issuer's session ends reaches filters; nothing else does.

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, DexUser};
use tokenward_protocol::filter_state::{EndedDigest, LIFTED};

use super::{Follower, now, sorted};
use crate::deployment::{ADMIN, Deployment, Plan};
use crate::logout::{log_out, logout_token};

const OTHER: &str = "other@example.com";

async fn start() -> anyhow::Result<(Deployment, Follower)> {
    let dex = Plan::default().dex.user(DexUser::new(OTHER));
    let deployment = Deployment::start(Plan {
        dex,
        ..Plan::default()
    })
    .await?;
    let follower = Follower::of(&deployment).await?;
    Ok((deployment, follower))
}

fn user(deployment: &Deployment, email: &str) -> EndedDigest {
    EndedDigest::user(deployment.dex.issuer(), &deployment.dex.subject(email))
}

#[tokio::test]
async fn each_way_to_end_appends_what_ended_and_a_login_appends_nothing() -> anyhow::Result<()> {
    let (deployment, mut filter) = start().await?;
    let session = EndedDigest::session;
    let nothing: Vec<(EndedDigest, u32)> = Vec::new();

    let login = deployment.log_in("s-1").await?;
    deployment.put_login("s-2", &login).await?;
    deployment.put_login("s-2", &login).await?;
    deployment.log_in_as("s-3", OTHER).await?;
    assert_eq!(
        deployment
            .ask(&login.id_token)
            .session("s-1")
            .send()
            .await?
            .status,
        200
    );
    assert_eq!(filter.learns(&deployment).await?, nothing, "logins and requests");

    assert_eq!(deployment.end("unknown").await?.status, 204);
    assert_eq!(
        filter.learns(&deployment).await?,
        nothing,
        "DELETE of an unknown session"
    );

    assert_eq!(deployment.end("s-1").await?.status, 204);
    assert_eq!(
        filter.learns(&deployment).await?,
        [(session("s-1"), now(&deployment))],
        "DELETE"
    );
    assert_eq!(deployment.end("s-1").await?.status, 204);
    assert_eq!(filter.learns(&deployment).await?, nothing, "DELETE again");

    deployment.put_login("s-1", &login).await?;
    assert_eq!(
        filter.learns(&deployment).await?,
        [(session("s-1"), LIFTED)],
        "PUT again"
    );
    deployment.put_login("s-1", &login).await?;
    assert_eq!(filter.learns(&deployment).await?, nothing, "PUT once more");

    deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
    let seconds = now(&deployment);
    let all = [
        (user(&deployment, ADMIN), seconds),
        (session("s-1"), seconds),
        (session("s-2"), seconds),
    ];
    assert_eq!(filter.learns(&deployment).await?, sorted(all), "sign-out");

    let refused = deployment.put_login("s-1", &login).await?;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(
        filter.learns(&deployment).await?,
        nothing,
        "a login that was signed out"
    );

    deployment.advance(5);
    let logout = logout_token(&deployment, "one").claim("sub", deployment.dex.subject(OTHER));
    assert_eq!(log_out(&deployment, &logout.token()).await?.status, 200);
    let seconds = now(&deployment);
    let all = [(user(&deployment, OTHER), seconds), (session("s-3"), seconds)];
    assert_eq!(filter.learns(&deployment).await?, sorted(all), "logout by sub");
    Ok(())
}

#[tokio::test]
async fn a_logout_by_sid_appends_the_issuers_session_and_the_sessions_in_it() -> anyhow::Result<()> {
    let (deployment, mut filter) = start().await?;
    for (session, sid) in [("s-1", "a"), ("s-2", "a"), ("s-3", "b")] {
        let token = deployment.dex.mint(ADMIN, "muster").claim("sid", sid).token();
        let put = deployment
            .put(session, &token, Some(&format!("refresh {session}")))
            .await?;
        anyhow::ensure!(put.status < 300, "{put:?}");
    }
    deployment.advance(3);
    let logout = logout_token(&deployment, "one").claim("sid", "a").without("sub");
    assert_eq!(log_out(&deployment, &logout.token()).await?.status, 200);
    let seconds = now(&deployment);
    let issuer = deployment.dex.issuer();
    let all = [
        (EndedDigest::issuer_session(issuer, "a"), seconds),
        (EndedDigest::session("s-1"), seconds),
        (EndedDigest::session("s-2"), seconds),
    ];
    assert_eq!(filter.learns(&deployment).await?, sorted(all));
    Ok(())
}

#[tokio::test]
async fn a_user_whose_tokens_are_of_a_fast_issuer_is_signed_out_until_the_newest_of_them()
-> anyhow::Result<()> {
    let (deployment, mut filter) = start().await?;
    let ahead = now(&deployment) + 40;
    let token = deployment.dex.mint(ADMIN, "muster").claim("iat", ahead).token();
    assert!(deployment.put("s-1", &token, Some("refresh")).await?.status < 300);
    deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
    let all = [
        (user(&deployment, ADMIN), ahead),
        (EndedDigest::session("s-1"), ahead),
    ];
    assert_eq!(filter.learns(&deployment).await?, sorted(all));
    Ok(())
}

#[tokio::test]
async fn a_request_whose_append_fails_is_refused_and_its_repetition_appends() -> anyhow::Result<()> {
    let (deployment, mut filter) = start().await?;
    deployment.log_in("s-1").await?;
    deployment.log_in_as("s-2", OTHER).await?;
    let logout = logout_token(&deployment, "one").claim("sub", deployment.dex.subject(OTHER));
    let logout = logout.token();
    // Every append looks at the store's lineage.
    deployment.store().set_broken(Some("lineage"));
    assert_eq!(deployment.end("s-1").await?.refusal(), (503, "store_unavailable"));
    assert_eq!(
        log_out(&deployment, &logout).await?.refusal(),
        (503, "store_unavailable")
    );
    deployment.store().set_broken(None);
    assert_eq!(filter.learns(&deployment).await?, []);

    assert_eq!(deployment.end("s-1").await?.status, 204);
    assert_eq!(
        filter.learns(&deployment).await?,
        [(EndedDigest::session("s-1"), now(&deployment))]
    );
    assert_eq!(log_out(&deployment, &logout).await?.status, 200);
    let seconds = now(&deployment);
    let all = [
        (user(&deployment, OTHER), seconds),
        (EndedDigest::session("s-2"), seconds),
    ];
    assert_eq!(filter.learns(&deployment).await?, sorted(all));
    // Only now is it used.
    assert_eq!(
        log_out(&deployment, &logout).await?.refusal(),
        (400, "bad_request")
    );
    Ok(())
}

#[tokio::test]
async fn a_session_that_another_users_login_takes_over_is_known_as_registered_again() -> anyhow::Result<()> {
    let (deployment, mut filter) = start().await?;
    deployment.log_in("s-1").await?;
    deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
    assert_eq!(filter.learns(&deployment).await?.len(), 2);
    deployment.log_in_as("s-1", OTHER).await?;
    assert_eq!(
        filter.learns(&deployment).await?,
        [(EndedDigest::session("s-1"), LIFTED)]
    );
    Ok(())
}

#[tokio::test]
async fn eight_replicas_that_sign_a_hundred_users_out_each_lose_none() -> anyhow::Result<()> {
    const REPLICAS: usize = 8;
    const USERS: usize = 100;
    let deployment = Deployment::start(Plan {
        replicas: REPLICAS,
        dex: DexConfig::default(),
        ..Plan::default()
    })
    .await?;
    let mut filter = Follower::of(&deployment).await?;
    let subject = |replica: usize, number: usize| format!("user-{replica}-{number}");
    let issuer = deployment.dex.issuer();
    let writers = (0..REPLICAS).map(|replica| {
        let deployment = &deployment;
        async move {
            for number in 0..USERS {
                let url = format!("{}/v1/sign-out", deployment.urls[replica]);
                let body = json!({"issuer": issuer, "subject": subject(replica, number)});
                let request = deployment
                    .http
                    .post(url)
                    .bearer_auth(crate::deployment::AGGREGATOR)
                    .json(&body);
                let answer = deployment.request(request).await?;
                anyhow::ensure!(answer.status == 200, "{answer:?}");
            }
            Ok(())
        }
    });
    let writing = crate::deployment::at_once(writers);
    // A filter that asks all the time sees each of them once, and those of one replica in their order.
    let reading = async {
        let mut seen = Vec::new();
        while seen.len() < REPLICAS * USERS {
            let learned = super::ask(&deployment, 3, filter.version, u64::MAX).await?;
            anyhow::ensure!(learned.version >= filter.version);
            filter.version = learned.version;
            seen.extend(learned.sign_outs.iter().map(|entry| entry.ended));
        }
        anyhow::Ok(seen)
    };
    let (written, seen) = tokio::join!(writing, reading);
    written.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
    let seen = seen?;
    assert_eq!(seen.len(), REPLICAS * USERS);
    for replica in 0..REPLICAS {
        let places: Vec<_> = (0..USERS)
            .map(|number| EndedDigest::user(issuer, &subject(replica, number)))
            .map(|ended| seen.iter().position(|other| *other == ended))
            .collect();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{replica}: {places:?}"
        );
    }
    Ok(())
}
