//! After the last sign-out the refresh token is given back (RFC 7009), where the issuer has an endpoint for it: in the
//! background, once, and without effect on the sign-out's outcome.

use std::time::Duration;

use serde_json::json;
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::issuer::answer::RawAnswer;
use tokenward_control::upstream::issuer::revocation::read_revocation;
use tokenward_harness::issuer::{DexConfig, Endpoint, Failure, fingerprint};

use crate::deployment::{ADMIN, Deployment, Plan};

const PATIENCE: Duration = Duration::from_secs(30);

/// An issuer that names a revocation endpoint, which Dex does not.
async fn deployment() -> anyhow::Result<Deployment> {
    let dex = DexConfig {
        has_revocation: true,
        ..DexConfig::default().id_token_lifetime(Duration::from_secs(300))
    };
    Deployment::start(Plan {
        dex,
        ..Plan::default()
    })
    .await
}

async fn settled(deployment: &Deployment) {
    assert!(deployment.service(0).drain(PATIENCE).await);
}

#[tokio::test]
async fn the_last_session_gives_its_newest_refresh_token_back_once() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let tokens = deployment.log_in("s-1").await?;
    assert_eq!(deployment.put_login("s-2", &tokens).await?.status, 201);
    deployment.advance(301);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    assert_eq!(deployment.end("s-1").await?.status, 204);
    settled(&deployment).await;
    assert_eq!(deployment.dex.counts().revocations, 0, "s-2 still needs it");
    assert_eq!(deployment.end("s-2").await?.status, 204);
    assert_eq!(deployment.end("s-2").await?.status, 204);
    settled(&deployment).await;
    let revoked = deployment.dex.revoked();
    assert_eq!(revoked.len(), 1, "{revoked:?}");
    assert_ne!(
        revoked[0],
        fingerprint(&tokens.refresh_token),
        "that one is used up"
    );
    Ok(())
}

#[tokio::test]
async fn a_sign_out_everywhere_gives_it_back_too() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let tokens = deployment.log_in("s-1").await?;
    let subject = deployment.dex.subject(ADMIN);
    assert_eq!(deployment.sign_out(&subject).await?.status, 200);
    settled(&deployment).await;
    assert_eq!(deployment.dex.revoked(), [fingerprint(&tokens.refresh_token)]);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_fails_or_hangs_delays_and_fails_no_sign_out() -> anyhow::Result<()> {
    for failure in [
        Failure::answer(503, "{}"),
        Failure::answer(400, r#"{"error":"unsupported_token_type"}"#),
        Failure::CloseBeforeAnswer,
        Failure::Hang,
    ] {
        let deployment = deployment().await?;
        let _tokens = deployment.log_in("s-1").await?;
        deployment.dex.fail_always(Endpoint::Revoke, failure.clone());
        let ended = tokio::time::timeout(PATIENCE, deployment.end("s-1")).await??;
        assert_eq!(ended.status, 204, "{failure:?}");
        assert_eq!(deployment.status("s-1").await?.status, 404, "{failure:?}");
        deployment
            .dex
            .wait_for_counts(|counts| counts.revocations == 1, PATIENCE)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_that_comes_after_the_sign_out_is_given_back_as_well() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let asking = async { deployment.ask(&tokens.id_token).session("s-1").send().await };
    let ending = async {
        deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        let ended = deployment.end("s-1").await;
        deployment.dex.release(Endpoint::Refresh);
        ended
    };
    let (answer, ended) = tokio::join!(asking, ending);
    assert_eq!((answer?.status, ended?.status), (400, 204));
    settled(&deployment).await;
    let revoked = deployment.dex.revoked();
    assert_eq!(revoked.len(), 2, "{revoked:?}");
    assert!(revoked.contains(&fingerprint(&tokens.refresh_token)));
    Ok(())
}

#[tokio::test]
async fn dex_has_no_such_endpoint_and_gets_no_call() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let _tokens = deployment.log_in("s-1").await?;
    assert_eq!(deployment.end("s-1").await?.status, 204);
    settled(&deployment).await;
    assert_eq!(deployment.dex.counts().revocations, 0);
    Ok(())
}

#[test]
fn a_revocation_is_read_by_the_rules_of_every_answer() {
    let read = |status, body: &str| {
        let answer = RawAnswer {
            status,
            body: body.as_bytes().to_vec(),
            ..RawAnswer::default()
        };
        read_revocation(&answer, Dialect::Dex)
    };
    assert_eq!(read(200, ""), "revoked");
    assert_eq!(read(204, ""), "revoked");
    assert_eq!(
        read(400, &json!({"error": "unsupported_token_type"}).to_string()),
        "refused"
    );
    assert_eq!(
        read(401, &json!({"error": "invalid_client"}).to_string()),
        "refused"
    );
    assert_eq!(read(404, "404 page not found"), "failed");
    assert_eq!(read(503, ""), "failed");
}
