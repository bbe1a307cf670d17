//! Sessions: what may enter, what a login supersedes, and what signing out takes away.

use serde_json::json;
use tokenward_harness::issuer::{Endpoint, Failure};

use crate::deployment::{ADMIN, AGGREGATOR, Deployment, FILTER, Plan};

#[tokio::test]
async fn a_session_is_created_renewed_and_shown_without_tokens() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.dex.log_in(ADMIN, "muster").await?;
    let created = deployment.put_login("s-1", &tokens).await?;
    assert_eq!(created.status, 201);
    let renewed = deployment.put_login("s-1", &tokens).await?;
    assert_eq!(renewed.status, 200);
    let status = deployment.status("s-1").await?;
    assert_eq!(status.body, renewed.body);
    assert_eq!(
        (status.text("state"), &status.body["generation"]),
        ("active", &json!(1))
    );
    assert_eq!(status.text("issuer"), deployment.dex.issuer());
    assert_eq!(status.text("client_id"), "muster");
    assert!(status.body["id_token_expires_at"].is_u64());
    assert!(!status.body.to_string().contains("eyJ"));
    assert_eq!(deployment.end("s-1").await?.status, 204);
    assert_eq!(deployment.end("s-1").await?.status, 204);
    assert_eq!(
        deployment.status("s-1").await?.refusal(),
        (404, "unknown_session")
    );
    Ok(())
}

#[tokio::test]
async fn nothing_enters_that_is_not_proven() -> anyhow::Result<()> {
    let settings = json!({"stale_subject_grace": "1h"});
    let deployment = Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await?;
    let good = deployment.dex.mint(ADMIN, "muster");
    let refresh = Some("some-refresh-token");
    let cases = [
        (
            "no exp",
            good.clone().without("exp").token(),
            refresh,
            "malformed_bearer",
        ),
        (
            "expired, nothing to refresh",
            good.clone().expires_in_seconds(-5).token(),
            None,
            "subject_rejected",
        ),
        (
            "expired past the grace",
            good.clone().expires_in_seconds(-3605).token(),
            refresh,
            "subject_rejected",
        ),
        (
            "forged",
            good.clone().signed_by_a_stranger().token(),
            refresh,
            "subject_rejected",
        ),
        (
            "alg none",
            good.clone().unsigned().token(),
            refresh,
            "malformed_bearer",
        ),
        (
            "HS256",
            good.clone().hs256_with_public_key().token(),
            refresh,
            "algorithm_unsupported",
        ),
        (
            "other audience",
            good.clone().claim("aud", "kube").token(),
            refresh,
            "wrong_audience",
        ),
        (
            "other issuer",
            good.clone().claim("iss", "https://x.example.com").token(),
            refresh,
            "wrong_issuer",
        ),
    ];
    for (what, token, refresh_token, refusal) in cases {
        let answer = deployment.put("s-1", &token, refresh_token).await?;
        assert_eq!(answer.refusal(), (400, refusal), "{what}: {answer:?}");
        assert_eq!(deployment.status("s-1").await?.status, 404, "{what}");
    }
    let body = json!({"issuer": deployment.dex.issuer(), "client_id": "stranger", "id_token": good.token()});
    assert_eq!(
        deployment.put_body("s-1", &body).await?.refusal(),
        (400, "bad_request")
    );
    let body = json!({"issuer": deployment.dex.issuer(), "id_token": good.token()});
    let incomplete = deployment.put_body("s-1", &body).await?;
    assert_eq!(incomplete.refusal(), (400, "bad_request"));
    assert!(!incomplete.body.to_string().contains("eyJ"));
    let long = "s".repeat(513);
    assert_eq!(
        deployment.put(&long, &good.token(), None).await?.refusal(),
        (400, "bad_request")
    );
    Ok(())
}

#[tokio::test]
async fn only_the_aggregators_credential_opens_the_sessions() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in("s-1").await?;
    let url = format!("{}/v1/sessions/s-1", deployment.urls[0]);
    for credential in [FILTER, "wrong", ""] {
        let http = &deployment.http;
        for request in [
            http.get(&url),
            http.delete(&url),
            http.put(&url).json(&json!({})),
            http.post(format!("{}/v1/sign-out", deployment.urls[0]))
                .json(&json!({})),
        ] {
            let answer = deployment.request(request.bearer_auth(credential)).await?;
            assert_eq!(answer.refusal(), (401, "caller_rejected"));
            assert!(answer.header("www-authenticate").is_some());
        }
    }
    let request = deployment
        .http
        .get(&url)
        .basic_auth("aggregator", Some(AGGREGATOR));
    assert_eq!(deployment.request(request).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn two_sessions_of_a_user_share_one_grant_and_the_newest_login_wins() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let first = deployment.log_in("s-1").await?;
    deployment.advance(2);
    let second = deployment.log_in("s-2").await?;
    for session in ["s-1", "s-2"] {
        let answer = deployment.ask(&first.id_token).session(session).send().await?;
        assert_eq!(answer.token(), second.id_token);
        assert_eq!(deployment.status(session).await?.body["generation"], 2);
    }
    // Dex ended the first refresh token; no replica presents it.
    deployment.advance(301);
    assert_eq!(
        deployment
            .ask(&first.id_token)
            .session("s-1")
            .send()
            .await?
            .status,
        200
    );
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 1);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    // The aggregator puts the older login again: older, so it changes nothing.
    deployment.put_login("s-1", &first).await?;
    assert_eq!(deployment.status("s-1").await?.body["generation"], 2);
    deployment.advance(301);
    assert_eq!(
        deployment
            .ask(&first.id_token)
            .session("s-1")
            .send()
            .await?
            .status,
        200
    );
    Ok(())
}

#[tokio::test]
async fn the_same_login_put_again_after_a_rotation_changes_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let fresh = deployment.ask(&tokens.id_token).send().await?;
    // What the aggregator has is what the login gave it: expired, and rotated away.
    let put = deployment.put_login("s-1", &tokens).await?;
    assert_eq!((put.status, &put.body["generation"]), (200, &json!(1)));
    assert_eq!(
        deployment
            .ask(&tokens.id_token)
            .session("s-1")
            .send()
            .await?
            .token(),
        fresh.token()
    );
    deployment.advance(301);
    assert_eq!(
        deployment
            .ask(&tokens.id_token)
            .session("s-1")
            .send()
            .await?
            .status,
        200
    );
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 2);
    Ok(())
}

#[tokio::test]
async fn an_expired_login_that_is_put_after_a_restart_is_refreshed_by_the_first_request() -> anyhow::Result<()>
{
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.dex.log_in(ADMIN, "muster").await?;
    deployment.advance(3000);
    let put = deployment.put_login("s-1", &tokens).await?;
    assert_eq!((put.status, put.text("state")), (201, "active"));
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_login_without_a_refresh_token_serves_until_its_end() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.dex.log_in(ADMIN, "muster").await?;
    deployment.put("s-1", &tokens.id_token, None).await?;
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    deployment.advance(301);
    let answer = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(answer.refusal(), (400, "needs_login"));
    assert!(answer.text("error_description").contains("offline_access"));
    assert_eq!(deployment.status("s-1").await?.text("state"), "needs_login");
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_no_verdict_on_a_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.dex.log_in(ADMIN, "muster").await?;
    deployment
        .dex
        .fail_always(Endpoint::Keys, Failure::answer(503, "{}"));
    let put = deployment.put_login("s-1", &tokens).await?;
    assert_eq!(put.refusal(), (503, "issuer_unavailable"));
    assert!(put.header("retry-after").is_some());
    deployment.dex.heal(Endpoint::Keys);
    deployment.advance(11);
    let put = deployment.put_login("s-1", &tokens).await?;
    assert_eq!(put.status, 201);
    Ok(())
}
