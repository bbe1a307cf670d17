//! What is logged, and what is not.

use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

/// #403: a reconciler hammered servers that wanted a login, once a second, until one of them defended itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_reconciler_that_hammers_reaches_no_server() -> anyhow::Result<()> {
    let world = World::builder().workers(2).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    for server in [LOCAL, "remote-1"] {
        for answer in world.call(server).login(&alice).send_many(100).await? {
            assert_eq!(answer.status, 401);
        }
    }
    assert_eq!(world.upstream_requests(), 0);
    world.ensure_one_warning_per_pair_and_minute(2).await
}

/// "localMint": background listeners had no inbound headers to take a token from. #1135: clients without a token while
/// forwarding was being rolled out. Both came back once a second.
#[tokio::test(flavor = "multi_thread")]
async fn listeners_without_a_token_are_refused_quietly_and_reach_no_server() -> anyhow::Result<()> {
    let world = World::builder().workers(2).start().await?;
    for answer in world.call(LOCAL).listen().send_many(60).await? {
        assert_eq!(
            (answer.status, answer.refusal().as_deref()),
            (401, Some("missing_bearer"))
        );
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("resource_metadata="), "{challenge}");
    }
    assert_eq!(world.upstream_requests(), 0);
    // A request without a token proves nothing about a login: it is counted, and logged at DEBUG.
    world.ensure_one_warning_per_pair_and_minute(0).await
}

/// #888: an event was written for every token that was forwarded.
#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_token_is_not_worth_a_line() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    for answer in world.call(LOCAL).login(&alice).send_many(50).await? {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(world.envoy.wasm_lines(), []);
    Ok(())
}

/// #1076: 21 servers had failed for two days without an alert: there was no metric to alert on.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_counted_by_server_and_reason() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    for _ in 0..3 {
        assert_eq!(world.call("remote-1").login(&alice).send().await?.status, 401);
    }
    let stats = world.envoy.stats().await?;
    let refused = |outcome| {
        let labels = [("server", "remote-1"), ("outcome", outcome)];
        stats.count("tokenward_requests_total", &labels)
    };
    assert_eq!((refused("needs_login"), refused("gated_needs_login")), (1, 2));
    Ok(())
}
