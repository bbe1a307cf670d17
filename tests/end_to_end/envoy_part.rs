//! Envoy without the filter routes requests to a server that verifies tokens: the basis of every other story.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::mcp_server::{McpCounts, McpServer, McpTrust};
use tokenward_harness::parts::{Envoy, EnvoyConfig, EnvoyRoute, Script, ScriptedServer};

const EMAIL: &str = "admin@example.com";

async fn parts() -> (FakeDex, McpServer, Envoy) {
    let dex = FakeDex::start(DexConfig::default()).await.unwrap();
    let server = McpServer::start(McpTrust::of(&dex, "muster")).await.unwrap();
    let route = EnvoyRoute::new("/kubernetes", server.address()).annotation("tokenward-server", "kubernetes");
    let config = EnvoyConfig {
        routes: vec![route],
        ..EnvoyConfig::default()
    };
    let envoy = Envoy::start(&config).await.unwrap();
    (dex, server, envoy)
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn call(envoy: &Envoy, token: &str) -> reqwest::RequestBuilder {
    let arguments = json!({"name": "echo", "arguments": {"text": "hello"}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments});
    http()
        .post(format!("{}/kubernetes/mcp", envoy.url()))
        .bearer_auth(token)
        .json(&message)
}

#[tokio::test]
async fn a_good_token_reaches_the_server_and_the_tool_answers() {
    let (dex, server, mut envoy) = parts().await;
    let answer = call(&envoy, &dex.mint(EMAIL, "muster").token())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "hello");
    assert_eq!(
        server.counts(),
        McpCounts {
            requests: 1,
            accepted: 1,
            ..McpCounts::default()
        }
    );
    let stats = envoy.stats().await.unwrap();
    let passed = [
        ("envoy_cluster_name", "mcp_kubernetes"),
        ("envoy_response_code_class", "2"),
    ];
    assert_eq!(stats.count("envoy_cluster_upstream_rq_xx", &passed), 1);
    assert!(envoy.terminate(Duration::from_secs(20)).await.unwrap().success());
}

#[tokio::test]
async fn an_expired_token_is_refused_by_the_server_and_counted_as_expired() {
    let (dex, server, envoy) = parts().await;
    let expired = dex.mint(EMAIL, "muster").expires_in_seconds(-1);
    let answer = call(&envoy, &expired.token()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key("www-authenticate"));
    // Expired counts first, whatever else is wrong.
    call(&envoy, &expired.clone().signed_by_a_stranger().token())
        .send()
        .await
        .unwrap();
    let draft = dex.mint(EMAIL, "muster");
    let bad = [
        dex.mint(EMAIL, "other"),
        draft.clone().claim("iss", "http://other.example.com"),
        draft.clone().signed_by_a_stranger(),
        draft.clone().unsigned(),
        draft.clone().hs256_with_public_key(),
        draft.without("exp"),
    ];
    for draft in &bad {
        call(&envoy, &draft.token()).send().await.unwrap();
    }
    let expected = McpCounts {
        requests: 8,
        rejected_expired: 2,
        own_tokens: 0,
        rejected_other: 6,
        ..McpCounts::default()
    };
    assert_eq!(server.counts(), expected);
    assert_eq!(server.seen().len(), 8);
}

#[tokio::test]
async fn a_server_can_answer_as_planned_distrust_its_issuer_and_go_down() {
    let (dex, server, envoy) = parts().await;
    let token = dex.mint(EMAIL, "muster").token();
    let status = async || call(&envoy, &token).send().await.unwrap().status().as_u16();
    server.answer_next(1, StatusCode::FORBIDDEN);
    assert_eq!((status().await, status().await), (403, 200));
    server.set_trust_revoked(true);
    assert_eq!(status().await, 401);
    server.set_trust_revoked(false);
    server.set_down(true);
    assert_eq!(status().await, 503);
    server.set_down(false);
    assert_eq!(status().await, 200);
    let counts = server.counts();
    assert_eq!(
        (counts.planned, counts.accepted, counts.rejected_other),
        (1, 2, 1)
    );
}

#[tokio::test]
async fn event_streams_come_through() {
    let (dex, _server, envoy) = parts().await;
    let url = format!("{}/kubernetes/mcp", envoy.url());
    let request = http().get(url).bearer_auth(dex.mint(EMAIL, "muster").token());
    let answer = request
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.text().await.unwrap().matches("event: message").count(), 3);
}

/// A request that waits for a connection is one that the filter has let pass, with a token that gets older.
#[tokio::test]
async fn more_open_streams_than_envoys_usual_limit_of_connections_make_no_request_wait() {
    let server = ScriptedServer::start(Script::silence()).await.unwrap();
    let config = EnvoyConfig {
        routes: vec![EnvoyRoute::new("/kubernetes", server.address())],
        ..EnvoyConfig::default()
    };
    let envoy = Envoy::start(&config).await.unwrap();
    let mut open = tokio::task::JoinSet::new();
    let begun = Instant::now();
    // A hundred at a time: what is dropped because the server's backlog is full never comes.
    for wanted in (100..=1_100).step_by(100) {
        for _ in 0..100 {
            open.spawn(http().get(format!("{}/kubernetes/mcp", envoy.url())).send());
        }
        while server.requests() < wanted {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{} of {wanted} have reached the server",
                server.requests()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_path_without_a_route_is_404_from_envoy() {
    let (_dex, server, envoy) = parts().await;
    let answer = http()
        .get(format!("{}/kubernetes-2", envoy.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.counts().requests, 0);
}
