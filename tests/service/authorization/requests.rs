//! What a request at the token and revocation endpoints must look like, and what answers another one.

use reqwest::Method;
use serde_json::json;

use super::client::{CLIENT, Client, REDIRECT, VERIFIER, assert_well_formed};
use super::refresh::{logged_in, start};
use super::stage::{self, ISSUER};
use crate::deployment::{Deployment, Plan, basic};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_malformed_request_is_refused_and_uses_nothing_up() -> anyhow::Result<()> {
    let (_deployment, client, login) = logged_in(1).await?;
    let token = client.redeem(0, &login.code).await?.refresh_token()?;
    let refresh = format!("grant_type=refresh_token&client_id={CLIENT}&refresh_token={token}");
    let cases = [
        (String::new(), "invalid_request"),
        (
            format!("client_id={CLIENT}&refresh_token={token}"),
            "invalid_request",
        ),
        (format!("{refresh}&refresh_token={token}"), "invalid_request"),
        (format!("{refresh}&resource=a&resource=b"), "invalid_request"),
        (format!("{refresh}&client_id=other"), "invalid_request"),
        (
            format!("grant_type=refresh_token&client_id={CLIENT}"),
            "invalid_request",
        ),
        (
            format!("grant_type=authorization_code&client_id={CLIENT}"),
            "invalid_request",
        ),
        (
            refresh.replace("grant_type=refresh_token", "grant_type=password"),
            "unsupported_grant_type",
        ),
        (
            refresh.replace("grant_type=refresh_token", "grant_type=client_credentials"),
            "unsupported_grant_type",
        ),
        (format!("{refresh}&scope=%00"), "invalid_request"),
    ];
    for (form, error) in cases {
        let request = client.request(Method::POST, "/token");
        let reply = client
            .send(request.header("content-type", FORM).body(form.clone()))
            .await?;
        assert_eq!(reply.error(), (400, error), "{form}");
        assert_well_formed(&reply);
    }
    let json = client
        .request(Method::POST, "/token")
        .json(&json!({"grant_type": "refresh_token"}));
    let reply = client.send(json).await?;
    assert_eq!(reply.error(), (415, "invalid_request"), "{reply:?}");
    assert_well_formed(&reply);
    let long = client
        .request(Method::POST, "/token")
        .header("content-type", FORM);
    let reply = client.send(long.body("a=b&".repeat(20_000))).await?;
    assert_eq!(reply.error(), (413, "invalid_request"), "{reply:?}");
    assert_well_formed(&reply);
    client.refresh(0, &token).await?.refresh_token()?;
    Ok(())
}

#[tokio::test]
async fn a_public_client_that_sends_a_secret_or_no_id_is_refused() -> anyhow::Result<()> {
    let (_deployment, client, login) = logged_in(1).await?;
    let code = [
        ("grant_type", "authorization_code"),
        ("code", login.code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let mut with_secret = code.to_vec();
    with_secret.extend([("client_id", CLIENT), ("client_secret", "s3cret")]);
    for (form, header) in [
        (&with_secret[..], None),
        (&code[..], Some(basic(CLIENT, "s3cret"))),
    ] {
        let mut request = client.request(Method::POST, "/token").form(form);
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let reply = client.send(request).await?;
        assert_eq!(reply.error(), (401, "invalid_client"), "{reply:?}");
        assert!(reply.headers.contains_key("www-authenticate"), "{reply:?}");
        assert_well_formed(&reply);
    }
    let reply = client.post(0, "/token", &code).await?;
    assert_eq!(reply.error(), (401, "invalid_client"), "{reply:?}");
    // Nothing was used up; an empty secret is none.
    let mut empty = code.to_vec();
    empty.extend([("client_id", CLIENT), ("client_secret", "")]);
    let reply = client.post(0, "/token", &empty).await?;
    assert_eq!(reply.status, 200, "{reply:?}");
    Ok(())
}

#[tokio::test]
async fn browsers_may_call_the_endpoints_and_another_method_is_405() -> anyhow::Result<()> {
    let (_deployment, client, _) = logged_in(1).await?;
    for path in ["/token", "/revoke"] {
        let preflight = client.send(client.request(Method::OPTIONS, path)).await?;
        assert_eq!(preflight.status, 204, "{preflight:?}");
        let header = |name: &str| {
            let value = preflight.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        assert_eq!(header("access-control-allow-origin"), "*");
        assert!(
            header("access-control-allow-methods").contains("POST"),
            "{preflight:?}"
        );
        for name in [
            "authorization",
            "content-type",
            "mcp-protocol-version",
            "mcp-method",
            "mcp-name",
        ] {
            assert!(
                header("access-control-allow-headers").contains(name),
                "{name}: {preflight:?}"
            );
        }
        assert_eq!(client.send(client.request(Method::GET, path)).await?.status, 405);
        assert_eq!(
            client.send(client.request(Method::DELETE, path)).await?.status,
            405
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_endpoints_exist_at_the_issuers_host_only() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    for host in ["other.example.com", "mcp.example.com:8443", "127.0.0.1"] {
        let url = format!("{}/token", deployment.urls[0]);
        let form = [("grant_type", "refresh_token"), ("client_id", CLIENT)];
        let response = deployment
            .http
            .post(url)
            .header("host", host)
            .form(&form)
            .send()
            .await?;
        assert_eq!(response.status(), 404, "{host}");
    }
    assert_eq!(client.redeem(0, &login.code).await?.status, 200);
    let without = Deployment::start(Plan::default()).await?;
    let client = Client::of(&without);
    for method in [Method::POST, Method::GET, Method::OPTIONS] {
        let reply = client.send(client.request(method.clone(), "/token")).await?;
        assert_eq!(reply.status, 404, "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_is_given_less_time_than_the_gateway_gives_the_token() -> anyhow::Result<()> {
    for (lifetime, seconds, usable) in [("1h", 3600, 3480), ("8m", 480, 360), ("60s", 60, 45)] {
        let plan = stage::plan(&json!({"access_token_lifetime": lifetime}))?;
        let (_deployment, client, login) = start(plan).await?;
        let reply = client.redeem(0, &login.code).await?;
        assert_eq!(reply.body["expires_in"], json!(usable), "{lifetime}");
        let payload = super::client::claims(reply.text("access_token"))?;
        let times = ["exp", "iat"].map(|name| payload[name].as_u64().unwrap_or_default());
        assert_eq!(times[0] - times[1], seconds, "{lifetime}");
        assert_eq!(payload["iss"], json!(ISSUER));
    }
    Ok(())
}
