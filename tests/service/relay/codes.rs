//! A code is accepted once: the same request, sent again, is answered with the login that it made.

use serde_json::json;

use super::raw::{Play, RawIssuer, answer};
use super::{counted, relayed};
use crate::deployment::{ADMIN, Deployment, Plan, at_once};

const CODE: [(&str, &str); 4] = [
    ("grant_type", "authorization_code"),
    ("code", "a-code-of-one-use"),
    ("redirect_uri", "https://app.example.com/callback"),
    ("code_verifier", "a-verifier"),
];

/// The issuer's answer to a login of [`ADMIN`], with this refresh token.
fn login(deployment: &Deployment, refresh_token: &str) -> Vec<u8> {
    let tokens = json!({
        "access_token": "an-access-token", "token_type": "bearer", "expires_in": 299, "vendor": [1],
        "id_token": deployment.dex.mint(ADMIN, "muster").token(), "refresh_token": refresh_token,
    });
    answer(
        "200 OK",
        &["content-type: application/json"],
        tokens.to_string().as_bytes(),
    )
}

async fn start(replicas: usize) -> anyhow::Result<(Deployment, RawIssuer)> {
    let issuer = RawIssuer::start(Play::Bytes(Vec::new())).await?;
    let plan = Plan {
        replicas,
        own_endpoint: Some(issuer.endpoint()),
        ..relayed()
    };
    Ok((Deployment::start(plan).await?, issuer))
}

#[tokio::test]
async fn one_code_request_of_many_reaches_the_issuer_and_all_get_its_answer() -> anyhow::Result<()> {
    let (deployment, issuer) = start(2).await?;
    issuer.play(Play::Held(login(&deployment, "rt-1")));
    let call = deployment.relayed(0, &CODE);
    let calls = tokio::spawn({
        let call = call.clone();
        async move { at_once((0..8).map(|_| call.send())).await }
    });
    issuer.wait_for(1).await;
    issuer.release();
    for answered in calls.await? {
        let answered = answered?;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.text("refresh_token"), "rt-1");
        assert_eq!(answered.json()["vendor"], json!([1]));
    }
    assert_eq!(
        counted(&deployment, "tokenward_relay_logins_total", "learned").await?,
        1
    );

    // Later, in another order and with the secret in the form, at another replica.
    let mut parameters = CODE.to_vec();
    parameters.reverse();
    parameters.extend([("client_id", "muster"), ("client_secret", "s3cret")]);
    let again = deployment
        .relayed(1, &parameters)
        .authorization(None)
        .send()
        .await?;
    assert_eq!(
        (again.status, again.text("refresh_token")),
        (200, "rt-1".to_owned())
    );
    assert_eq!(again.text("access_token"), "an-access-token");
    assert_eq!(issuer.requests().len(), 1);

    // Another request with the code is the issuer's to judge, and so is the same one when the minute is over.
    let refused = answer("400 Bad Request", &[], br#"{"error":"invalid_grant"}"#);
    issuer.play(Play::Bytes(refused));
    let other = deployment.relayed(0, &CODE[..3]).send().await?;
    assert_eq!(
        (other.status, other.text("error")),
        (400, "invalid_grant".to_owned())
    );
    deployment.advance(61);
    assert_eq!(call.send().await?.status, 400);
    assert_eq!(issuer.requests().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_code_request_that_brings_no_tokens_is_passed_for_each_client() -> anyhow::Result<()> {
    let (deployment, issuer) = start(1).await?;
    let refused = answer("400 Bad Request", &[], br#"{"error":"invalid_grant"}"#);
    issuer.play(Play::Held(refused));
    let call = deployment.relayed(0, &CODE);
    let calls = tokio::spawn(async move { at_once((0..3).map(|_| call.send())).await });
    issuer.wait_for(1).await;
    issuer.release();
    for answered in calls.await? {
        assert_eq!(answered?.text("error"), "invalid_grant");
    }
    assert_eq!(issuer.requests().len(), 3);
    assert_eq!(
        counted(&deployment, "tokenward_relay_logins_total", "learned").await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn a_client_that_disconnects_finds_its_login_when_it_comes_back() -> anyhow::Result<()> {
    let (deployment, issuer) = start(1).await?;
    issuer.play(Play::Held(login(&deployment, "rt-1")));
    let call = deployment.relayed(0, &CODE);
    let gone = tokio::spawn({
        let call = call.clone();
        async move { call.send().await }
    });
    issuer.wait_for(1).await;
    gone.abort();
    assert!(gone.await.is_err_and(|ended| ended.is_cancelled()));
    let back = tokio::spawn(async move { call.send().await });
    issuer.release();
    let answered = back.await??;
    assert_eq!(
        (answered.status, answered.text("refresh_token")),
        (200, "rt-1".to_owned())
    );
    assert_eq!(issuer.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn two_identical_password_logins_are_two_logins() -> anyhow::Result<()> {
    let deployment = Deployment::start(relayed()).await?;
    let login = deployment.relayed_login(0, ADMIN);
    let both = at_once((0..2).map(|_| login.send())).await;
    let mut tokens = Vec::new();
    for answered in both {
        tokens.push(answered?.text("refresh_token"));
    }
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(deployment.dex.counts().logins, 2);
    Ok(())
}
