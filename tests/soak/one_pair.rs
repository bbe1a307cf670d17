use std::sync::Arc;
use std::time::{Duration, Instant};

use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

use crate::hammer::{Calls, Hammer};
use crate::table::Table;

const SPAN: Duration = Duration::from_secs(180);
/// For the whole test.
const DEADLINE: Duration = Duration::from_secs(230);
const CONNECTIONS: usize = 64;
const WORKERS: u64 = 4;
/// `gate.login_first`, `gate.login_longest` and `warn_every` of docs/configuration.md.
const BACKOFF_SECONDS: (f64, f64) = (5.0, 30.0);
const WARN_EVERY_SECONDS: f64 = 60.0;
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// The most calls that the backoff allows: at first one of each worker, for the gate is still open; then one probe each
/// time the gate's time is over, which doubles up to the longest and is shortened by a quarter at most.
fn most_calls(seconds: f64) -> u64 {
    let (mut calls, mut at, mut backoff) = (WORKERS, 0.0, BACKOFF_SECONDS.0);
    loop {
        at += backoff * 0.75;
        if at > seconds {
            return calls;
        }
        calls += 1;
        backoff = f64::min(backoff * 2.0, BACKOFF_SECONDS.1);
    }
}

/// Seconds of the day of each of the filter's WARN lines: Envoy's lines begin with `[2026-01-31 12:34:56.789]`.
fn warnings_at(world: &World) -> Vec<f64> {
    let seconds = |line: &String| -> Option<f64> {
        let clock = line
            .contains("[warning][wasm]")
            .then(|| line.get(12..24))
            .flatten()?;
        let mut parts = clock.split(':').map(|part| part.parse::<f64>().ok());
        Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
    };
    world.envoy.log().lines().iter().filter_map(seconds).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "three minutes: cargo xtask soak"]
async fn three_minutes_of_hammering_one_ended_login_are_quiet_cheap_and_reach_nobody() -> anyhow::Result<()> {
    tokio::time::timeout(DEADLINE, soak()).await?
}

async fn soak() -> anyhow::Result<()> {
    let world = World::builder()
        .workers(usize::try_from(WORKERS)?)
        .start()
        .await?;
    world.envoy.set_wasm_log_level("info").await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    let vms = world.vms().await?;
    // Listeners, as in the storms of production. They have no body: Envoy closes a connection on which it answers
    // before it has read the whole request.
    let call = world.call(LOCAL).login(&alice).listen();
    let (begun, example) = (Instant::now(), call.clone());
    let calls: Calls = Arc::new(move |_| (begun.elapsed() < SPAN).then(|| call.clone()));
    let mut hammer = Hammer::start(CONNECTIONS, &example, 401, &calls).await?;
    while !hammer.ends_within(PROGRESS_EVERY).await? {
        let (sent, warnings) = (hammer.sent(), world.tally().warnings);
        println!(
            "{:>4} s: {sent} requests, {warnings} WARN",
            begun.elapsed().as_secs()
        );
    }
    let seconds = begun.elapsed().as_secs_f64();
    let asked = world
        .envoy
        .stats()
        .await?
        .count("tokenward_control_calls_total", &[]);
    let warned = warnings_at(&world);
    let upstream = world.upstream_requests();
    assert_eq!(world.tally().recoveries, 0, "nothing has recovered yet");

    let again = world.log_in_again(&alice).await?;
    world.ensure_every_worker_serves(LOCAL, &again).await?;
    let tally = world.tally();

    let mut table = Table::new("one ended login, 64 connections, 4 workers");
    table.row("seconds", format!("{seconds:.0}"), "");
    table.row("requests", hammer.sent(), "each answered 401");
    table.row("WARN lines", warned.len(), "at most 4, 60 s apart");
    table.row(
        "calls to control",
        asked,
        format!("at most {}", most_calls(seconds)),
    );
    table.row("refreshes at the issuer", tally.refreshes, "1");
    table.row("requests that reached a server", upstream, "0");
    table.row("INFO lines after the new login", tally.recoveries, "1");
    table.print();
    assert!((2..=4).contains(&warned.len()), "{warned:?}");
    for pair in warned.windows(2) {
        let apart = (pair[1] - pair[0]).rem_euclid(86_400.0);
        assert!(apart >= WARN_EVERY_SECONDS - 0.1, "{warned:?}");
    }
    assert!((5..=most_calls(seconds)).contains(&asked), "{asked} calls");
    assert_eq!((tally.refreshes, upstream, tally.rejected_expired), (1, 0, 0));
    assert_eq!(tally.recoveries, 1, "{:#?}", world.envoy.wasm_lines());
    assert_eq!(world.vms().await?, vms);
    Ok(())
}
