use std::sync::Arc;
use std::time::{Duration, Instant};

use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

use crate::hammer::{Calls, Hammer};
use crate::table::Table;

/// A third of what the filter remembers for sure. When a pair took two entries of a slot of sixteen, more than one in ten
/// of so many lost its gate, and called control with every request.
const PAIRS: u64 = 5_000;
const SPAN: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 64;
/// Calls of one pair within [`SPAN`]: at first, and probes after about 5, 10, 20 and 30 s, each up to a quarter earlier.
const MOST_CALLS: u64 = 5;
/// `warn_limit` of docs/configuration.md, in two minutes that may be touched.
const MOST_WARNINGS: usize = 2_000;
/// For the whole test.
const DEADLINE: Duration = Duration::from_secs(100);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute: cargo xtask soak"]
async fn five_thousand_ended_logins_call_control_as_seldom_as_one() -> anyhow::Result<()> {
    tokio::time::timeout(DEADLINE, soak()).await?
}

async fn soak() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    world.envoy.set_wasm_log_level("warning").await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    // Listeners have no body: Envoy closes a connection on which it answers before it has read the whole request.
    let call = world.call(LOCAL).bearer(&alice.tokens.id_token).listen();
    let (begun, example) = (Instant::now(), call.clone());
    let calls: Calls = Arc::new(move |number| {
        let session = format!("dead-{}", number % PAIRS);
        (begun.elapsed() < SPAN).then(|| call.clone().header("x-tokenward-session", session.as_bytes()))
    });
    let mut hammer = Hammer::start(CONNECTIONS, &example, 401, &calls).await?;
    anyhow::ensure!(hammer.ends_within(DEADLINE).await?, "a request hangs");
    let asked = world
        .envoy
        .stats()
        .await?
        .count("tokenward_control_calls_total", &[]);
    let warned = world.tally().warnings;
    let upstream = world.upstream_requests();

    let mut table = Table::new("5,000 ended logins, 64 connections, 4 workers");
    table.row("seconds", begun.elapsed().as_secs(), "");
    table.row("requests", hammer.sent(), "each answered 401");
    table.row(
        "calls to control",
        asked,
        format!("at most {MOST_CALLS} a pair and a tenth"),
    );
    table.row("WARN lines", warned, format!("at most {MOST_WARNINGS}"));
    table.row("requests that reached a server", upstream, "0");
    table.print();
    assert!(
        hammer.sent() > 10 * PAIRS,
        "{} requests show little",
        hammer.sent()
    );
    // Two workers may call about a pair before the first has been answered.
    assert!(asked <= PAIRS * MOST_CALLS * 11 / 10, "{asked} calls");
    assert!(warned <= MOST_WARNINGS, "{warned} WARN lines");
    assert_eq!((upstream, world.rejected_expired()), (0, 0));
    Ok(())
}
