//! A refresh while Dex's own connector fails: what a Dex asks at each refresh is another server than Dex.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConfig, Endpoint, Failure, FakeDex, Issuer};
use tokenward_harness::parts::{RealDex, tools};
use tokenward_harness::world::{ALICE, CLIENT};

/// An Atlassian Crowd that knows every user, or answers every question with one status.
struct Crowd {
    address: SocketAddr,
    /// 0 while it answers as it should.
    status: Arc<AtomicU16>,
}

impl Crowd {
    async fn start() -> anyhow::Result<Self> {
        let status = Arc::new(AtomicU16::new(0));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&status));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, status })
    }
}

/// A session for each password; otherwise somebody who is both a user and the groups of one.
async fn answer(State(status): State<Arc<AtomicU16>>, method: Method) -> Response {
    let fails = StatusCode::from_u16(status.load(Ordering::SeqCst)).ok();
    let works = match method {
        Method::POST => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let body = json!({
        "key": "alice", "name": ALICE, "email": ALICE, "active": true, "groups": [{"name": "team-a"}],
    });
    (fails.unwrap_or(works), Json(body)).into_response()
}

/// Status, content type and body of a refresh.
async fn refresh(dex: &impl Issuer, token: &str) -> anyhow::Result<(u16, String, Value)> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT.0),
        ("client_secret", CLIENT.1),
        ("refresh_token", token),
    ];
    let http = reqwest::Client::builder().no_proxy().build()?;
    let answer = http.post(dex.token_endpoint()).form(&form).send().await?;
    let content_type = answer.headers().get("content-type");
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    Ok((answer.status().as_u16(), content_type, answer.json().await?))
}

/// However the connector fails: 500 that says nothing, and the same token is good once it works again.
async fn failing_connector<I: Issuer>(dex: &I, fail: impl Fn(Option<u16>)) -> anyhow::Result<()> {
    let mut token = dex.log_in(ALICE, CLIENT.0).await?.refresh_token;
    // Down for now, and what Crowd says of a user that is gone for good: nobody can tell the one from the other.
    for status in [503, 404] {
        fail(Some(status));
        for _ in 0..2 {
            let expected = (
                500,
                "application/json".to_owned(),
                json!({"error": "invalid_request"}),
            );
            assert_eq!(refresh(dex, &token).await?, expected, "{} {status}", I::KIND);
        }
        fail(None);
        let (answered, _, body) = refresh(dex, &token).await?;
        assert_eq!(answered, 200, "{}: it was not used up: {body}", I::KIND);
        let next = body["refresh_token"].as_str().unwrap_or_default();
        assert_ne!(next, token, "{}: rotated", I::KIND);
        next.clone_into(&mut token);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_connector_fails_is_500_without_a_reason_and_uses_nothing_up() -> anyhow::Result<()> {
    let fake = FakeDex::start(DexConfig::default()).await?;
    failing_connector(&fake, |status| match status {
        Some(_) => fake.fail_always(Endpoint::Refresh, Failure::internal_error()),
        None => fake.heal(Endpoint::Refresh),
    })
    .await?;
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!(
            "left out: a failing connector of a real Dex: {}",
            tools::DEX_IS_MISSING
        );
        return Ok(());
    }
    let crowd = Crowd::start().await?;
    let config = DexConfig {
        crowd: Some(format!("http://{}", crowd.address)),
        ..DexConfig::default()
    };
    let dex = RealDex::start(config).await?;
    failing_connector(&dex, |status| {
        crowd.status.store(status.unwrap_or(0), Ordering::SeqCst);
    })
    .await
}
