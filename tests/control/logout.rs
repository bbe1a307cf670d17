//! OpenID Connect Back-Channel Logout: the issuer ends its user's sessions, and only with a proper logout token.

use serde_json::json;
use tokenward_tests::issuer::TokenDraft;

use crate::deployment::{ADMIN, Answer, Deployment, Plan};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn logout_token(deployment: &Deployment, id: &str) -> TokenDraft {
    deployment
        .dex
        .mint(ADMIN, "muster")
        .claim("jti", id)
        .claim("events", json!({EVENT: {}}))
}

async fn log_out(deployment: &Deployment, token: &str) -> anyhow::Result<Answer> {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", token)
        .finish();
    let request = deployment
        .http
        .post(format!("{}/v1/backchannel-logout", deployment.urls[0]))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    deployment.request(request).await
}

#[tokio::test]
async fn a_logout_token_ends_all_sessions_of_its_user_once() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.put_login("s-2", &tokens).await?;
    let token = logout_token(&deployment, "one").token();
    let answer = log_out(&deployment, &token).await?;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, Some("no-store"))
    );
    for session in ["s-1", "s-2"] {
        assert_eq!(deployment.status(session).await?.status, 404);
    }
    // Replayed after the user has come back, it ends nothing.
    deployment.log_in("s-3").await?;
    assert_eq!(
        log_out(&deployment, &token).await?.refusal(),
        (400, "bad_request")
    );
    assert_eq!(deployment.status("s-3").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn what_is_not_a_logout_token_ends_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    let good = |id: &str| logout_token(&deployment, id);
    let cases = [
        ("an ID token", tokens.id_token.clone()),
        ("a nonce", good("a").claim("nonce", "n").token()),
        ("no event", good("b").without("events").token()),
        (
            "another event",
            good("c").claim("events", json!({"other": {}})).token(),
        ),
        ("no jti", good("d").without("jti").token()),
        ("no iat", good("e").without("iat").token()),
        ("an old iat", good("f").claim("iat", 1).token()),
        ("expired", good("g").expires_in_seconds(-1).token()),
        ("forged", good("h").signed_by_a_stranger().token()),
        ("unsigned", good("i").unsigned().token()),
        ("HS256", good("j").hs256_with_public_key().token()),
        ("another audience", good("k").claim("aud", "kube").token()),
        (
            "another issuer",
            good("l").claim("iss", "https://x.example.com").token(),
        ),
        ("nothing", String::new()),
    ];
    for (what, token) in cases {
        let answer = log_out(&deployment, &token).await?;
        assert_eq!(answer.refusal(), (400, "bad_request"), "{what}: {answer:?}");
        assert_eq!(deployment.status("s-1").await?.status, 200, "{what}");
    }
    Ok(())
}
