//! An issuer that moves its endpoints while control runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::routing::get;
use serde_json::{Value, json};
use tokenward_control::clock::HandClock;
use tokenward_control::serve::reload::apply;
use tokenward_control::upstream::issuer::discovery::Discovery;
use tokenward_harness::issuer::{Endpoint, Failure};
use tokio::task::JoinHandle;

use super::discovery::context;
use crate::deployment::{Deployment, Plan};

const PATIENCE: Duration = Duration::from_secs(20);
/// The longest pause, of random length, between two presentations of one refresh token.
const LONGEST_PAUSE_SECONDS: u64 = 60;

/// Serves a discovery document that a test writes.
struct Publisher {
    issuer: String,
    state: Arc<Mutex<(Value, usize)>>,
    serving: JoinHandle<()>,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Publisher {
    async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new((Value::Null, 0)));
        let shared = Arc::clone(&state);
        let document = move || async move {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            state.1 += 1;
            state.0.to_string()
        };
        let path = "/.well-known/openid-configuration";
        let router = axum::Router::new().route(path, get(document));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            issuer,
            state,
            serving,
        })
    }

    fn publish(&self, token_path: &str) {
        self.put(json!({
            "issuer": self.issuer,
            "token_endpoint": format!("{}{token_path}", self.issuer),
            "jwks_uri": format!("{}/keys", self.issuer),
        }));
    }

    fn put(&self, document: Value) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = document;
    }

    fn reads(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[tokio::test]
async fn a_document_is_read_again_after_an_hour_and_a_bad_one_does_not_take_its_place() -> anyhow::Result<()>
{
    let deployment = Deployment::start(Plan::default()).await?;
    let clock = Arc::new(HandClock::at(1_000_000));
    let context = context(&deployment, &clock)?;
    let publisher = Publisher::start().await?;
    publisher.publish("/token?p=1");
    let discovery = Arc::new(Discovery::new(publisher.issuer.clone(), None, None));
    let found = || discovery.token_endpoint(&context);
    let path = |url: url::Url| url[url::Position::BeforePath..].to_owned();
    assert_eq!(path(found().await?), "/token?p=1");
    // An hour and a tenth: no caller waits for the reading.
    clock.advance(Duration::from_secs(3960));
    let until_read = |times: usize| {
        let (publisher, clock, found) = (&publisher, &clock, &found);
        async move {
            while publisher.reads() < times {
                assert_eq!(path(found().await?), "/token?p=1");
                clock.advance(Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        }
    };
    publisher.put(json!("<html>"));
    tokio::time::timeout(PATIENCE, until_read(2)).await??;
    publisher.put(json!({"issuer": "https://other.example.com"}));
    tokio::time::timeout(PATIENCE, until_read(3)).await??;
    publisher.publish("/moved");
    tokio::time::timeout(PATIENCE, until_read(4)).await??;
    let moved = async {
        while path(found().await?) != "/moved" {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, moved).await??;
    assert_eq!(publisher.reads(), 4);
    Ok(())
}

#[tokio::test]
async fn a_token_endpoint_that_is_none_any_more_has_the_document_read_again_soon_and_not_often()
-> anyhow::Result<()> {
    let mut deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    let dex_reads = |deployment: &Deployment| deployment.dex.counts().discovery_fetches;
    let before = dex_reads(&deployment);
    deployment.dex.fail_always(
        Endpoint::Refresh,
        Failure::answer(404, "<html>nothing here</html>"),
    );
    deployment.advance(301);
    // At once, and when at least 30, then 60, then 120 s have passed; 240 s have not.
    for (round, readings) in [1, 2, 3, 3, 4, 4, 4, 4].into_iter().enumerate() {
        let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
        assert_ne!(answer.status, 200, "{round}");
        assert_ne!(answer.status, 401, "{round}");
        let wanted = before + readings;
        deployment
            .dex
            .wait_for_counts(|counts| counts.discovery_fetches >= wanted, PATIENCE)
            .await?;
        assert_eq!(dex_reads(&deployment), wanted, "{round}");
        deployment.advance(LONGEST_PAUSE_SECONDS + 1);
    }
    let restarted = deployment.add_replica().await?;
    deployment.dex.heal(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token).session("s-1").replica(restarted);
    assert_eq!(ask.send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn where_both_endpoints_are_configured_no_document_is_read_whatever_they_answer() -> anyhow::Result<()>
{
    let deployment = Deployment::start(Plan::default()).await?;
    let (token_endpoint, jwks_uri) = (deployment.dex.token_endpoint(), deployment.dex.jwks_uri());
    let configured = deployment.changed(|document| {
        document["issuers"][0]["token_endpoint"] = json!(token_endpoint);
        document["issuers"][0]["jwks_uri"] = json!(jwks_uri);
    })?;
    apply(deployment.service(0), configured)?;
    let tokens = deployment.log_in("s-1").await?;
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::answer(410, "gone"));
    for _ in 0..3 {
        deployment.advance(4000);
        let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
        assert_ne!(answer.status, 200);
    }
    assert_eq!(deployment.dex.counts().discovery_fetches, 0);
    Ok(())
}
