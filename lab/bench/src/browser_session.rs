//! Envoy's `oauth2`: a browser's session in cookies, made by a login through the filter itself, so that the cookies are what this
//! Envoy makes of the issuer's tokens (signed, and encrypted as it does by default).

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::gateway::filter;
use super::lanes::HOST;
use super::tokens::CLIENT;
use super::wire::Responder;
use tokenward_harness::issuer::http_client;

const TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.oauth2.v3.OAuth2";
const CALLBACK: &str = "/callback";
/// The cluster of the issuer's token endpoint.
pub(super) const ISSUER_CLUSTER: &str = "oauth2_issuer";
/// No session ends while it is measured.
const LIVES_SECONDS: u64 = 30 * 24 * 3600;

/// The filter, which hands the session's access token on as the request's bearer token.
pub(super) fn oauth2() -> Value {
    let secret = |name: &str| json!({"name": name});
    let config = json!({
        "token_endpoint": {"cluster": ISSUER_CLUSTER, "uri": "http://issuer.example.com/token", "timeout": "1s"},
        "authorization_endpoint": "https://issuer.example.com/auth",
        "redirect_uri": format!("http://%REQ(:authority)%{CALLBACK}"),
        "redirect_path_matcher": {"path": {"exact": CALLBACK}},
        "signout_path": {"path": {"exact": "/sign-out"}},
        "credentials": {
            "client_id": CLIENT, "token_secret": secret("oauth2_client"), "hmac_secret": secret("oauth2_hmac"),
        },
        "auth_scopes": ["openid"],
        "forward_bearer_token": true,
    });
    filter("oauth2", TYPE, &json!({"config": config}))
}

/// Its secrets, in Envoy's JSON.
pub(super) fn secrets() -> Vec<Value> {
    let secret = |name: &str| {
        let value = format!("{name}, only for benchmarks");
        json!({"name": name, "generic_secret": {"secret": {"inline_string": value}}})
    };
    vec![secret("oauth2_client"), secret("oauth2_hmac")]
}

/// The issuer's token endpoint, which gives this token as access token and as ID token.
pub(super) async fn issuer(token: &str) -> anyhow::Result<Responder> {
    let body = json!({
        "access_token": token, "id_token": token, "token_type": "bearer", "expires_in": LIVES_SECONDS,
        "refresh_token": "ChlxcHl4dGVjZ3R4b2Y2cWJ5d3RmY3p1dXhzEhlvbHBmYnB0c3Z5enN6dWxtY2dxNGx5aGQ0",
    })
    .to_string();
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    Responder::fixed((head + &body).into_bytes()).await
}

/// Logs in through the filter at `address`; the session's `cookie` header.
///
/// # Errors
/// When the filter answers in another way than a login goes.
pub(super) async fn log_in(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let (location, cookies) = redirected(address, path, "").await?;
    let (_, state) = location.split_once("state=").context("a login without a state")?;
    let state = state.split('&').next().unwrap_or_default();
    let callback = format!("{CALLBACK}?code=code&state={state}");
    let (_, cookies) = redirected(address, &callback, &cookies).await?;
    ensure!(
        ["OauthHMAC=", "BearerToken=", "OauthExpires="]
            .iter()
            .all(|name| cookies.contains(name)),
        "Envoy's oauth2 made no session"
    );
    Ok(cookies)
}

/// Where a request is sent to, and the cookies that the answer sets.
async fn redirected(address: SocketAddr, path: &str, cookies: &str) -> anyhow::Result<(String, String)> {
    let request = http_client()
        .get(format!("http://{address}{path}"))
        .header("host", HOST)
        .header("cookie", cookies);
    let answer = request.send().await?;
    ensure!(answer.status() == 302, "{path} was answered {}", answer.status());
    let location = answer
        .headers()
        .get("location")
        .context("no location")?
        .to_str()?
        .to_owned();
    let mut cookies = Vec::new();
    for cookie in answer.headers().get_all("set-cookie") {
        let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
        // Those of the login itself end with it.
        if !pair.ends_with("=deleted") {
            cookies.push(pair.to_owned());
        }
    }
    Ok((location, cookies.join("; ")))
}
