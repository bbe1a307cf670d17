//! While the grant is valid a user sees no error.

use std::time::Instant;

use serde_json::{Value, json};
use tokenward_harness::parts::{McpClient, McpSdk};
use tokenward_harness::world::{ALICE, LOCAL, Login, World};

use super::{
    PATIENCE, REMOTE, Servers, assert_noticed_nothing, call, echo, first, idle, is_installed, short_lived,
    start, tools_step,
};

/// Longer than a token is valid.
const LONG_CALL_SECONDS: u64 = 14;
/// A listener's stream is ended by the server now and then, also after the token that opened it has expired.
const STREAMS_LAST_SECONDS: u64 = 13;

/// Six clients at once (three SDKs, two servers): every one of them presents the token of its login until the end.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_every_kind_live_through_four_token_lives_and_notice_nothing() -> anyhow::Result<()> {
    if !is_installed("clients of every kind") {
        return Ok(());
    }
    let mut world = short_lived().start().await?;
    let servers = Servers::behind(&mut world).await?;
    servers
        .everything
        .set_streams_last(std::time::Duration::from_secs(STREAMS_LAST_SECONDS));
    let alice = world.log_in(ALICE).await?;
    let begun = Instant::now();
    let clients = every_client(&world, &alice)?;
    for (server, client) in &clients {
        let lines = client.ended(PATIENCE).await?;
        assert_noticed_nothing(client, &lines);
        let expected = match (client.sdk, *server) {
            (McpSdk::TypeScript1, _) | (_, LOCAL) => "2025-11-25",
            _ => "2026-07-28",
        };
        assert_eq!(
            first(&lines, "connect")["version"],
            expected,
            "{:?} at {server}",
            client.sdk
        );
        assert!(first(&lines, "long")["progress"].as_u64() >= Some(6), "{lines:?}");
    }
    servers.assert_saw_good_tokens_only();
    let stateless = servers.modern.counts().with_mcp_method;
    assert!(stateless >= 10, "{stateless} requests in the style of 2026-07-28");
    assert_counted_by_method(&world).await?;
    let refreshes = world.home.counts().refreshes_presented;
    // Ahead of time from six seconds before a token's end.
    let most = 2 + begun.elapsed().as_secs() / 4;
    assert!(
        (3..=most).contains(&u64::try_from(refreshes)?),
        "{refreshes} refreshes"
    );
    assert_eq!(refreshes, world.home.counts().refreshes_succeeded);
    assert_eq!(world.tally().warnings, 0, "{:#?}", world.envoy.wasm_lines());
    Ok(())
}

/// Both styles of listener and the calls of both are counted by what they are, and nothing is foreign to the list.
async fn assert_counted_by_method(world: &World) -> anyhow::Result<()> {
    let stats = world.envoy.stats().await?;
    let passed = |server: &str, method: &str| {
        let labels = |outcome| [("server", server), ("mcp_method", method), ("outcome", outcome)];
        let outcomes = ["forwarded", "replaced", "replaced_from_cache"];
        let counts = outcomes.map(|outcome| stats.count("tokenward_requests_total", &labels(outcome)));
        counts.iter().sum::<u64>()
    };
    // The two newer SDKs listen by POST at the server that speaks that style; all three by GET at the other.
    assert!(passed(REMOTE, "subscriptions/listen") >= 2);
    assert!(passed(REMOTE, "tools/call") >= 8);
    assert!(passed(LOCAL, "GET") >= 6);
    assert!(passed(LOCAL, "none") >= 9);
    let unknown = stats.count("tokenward_requests_total", &[("mcp_method", "other")]);
    assert_eq!(unknown, 0, "methods that the list lacks");
    Ok(())
}

fn every_client(world: &World, alice: &Login) -> anyhow::Result<Vec<(&'static str, McpClient)>> {
    let mut clients = Vec::new();
    for sdk in McpSdk::ALL {
        for (server, steps) in [(LOCAL, with_sessions()), (REMOTE, stateless(sdk))] {
            clients.push((server, start(world, sdk, server, alice, &steps)?));
        }
    }
    Ok(clients)
}

/// With a session and a `GET` listener, as in 2025.
fn with_sessions() -> Vec<Value> {
    let long = json!({
        "do": "long", "name": "trigger-long-running-operation",
        "arguments": {"duration": LONG_CALL_SECONDS, "steps": 7},
    });
    vec![
        tools_step(),
        echo(),
        call("toggle-simulated-logging", &json!({})),
        json!({"do": "events", "count": 1}),
        long,
        idle(),
        echo(),
        json!({"do": "events", "count": 2}),
        idle(),
        tools_step(),
        echo(),
    ]
}

/// Without a session; the listener is a `POST`. The older SDK has no such listener.
fn stateless(sdk: McpSdk) -> Vec<Value> {
    let listens = sdk != McpSdk::TypeScript1;
    let long =
        json!({"do": "long", "name": "slow", "arguments": {"duration": LONG_CALL_SECONDS, "steps": 7}});
    let mut steps = vec![tools_step()];
    steps.extend(listens.then(|| json!({"do": "listen"})));
    steps.extend([echo(), long, idle(), echo(), idle(), echo()]);
    if listens {
        let notified = json!({"do": "events", "count": 1, "since_call": true});
        steps.extend([call("touch", &json!({})), notified]);
    }
    steps
}
