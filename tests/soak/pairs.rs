use std::sync::Arc;
use std::time::{Duration, Instant};

use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, World};

use crate::hammer::{Calls, Hammer};
use crate::table::Table;

/// Twice as many as the filter's shared memory has places for.
const PAIRS: u64 = 100_000;
const CONNECTIONS: usize = 64;
/// How often Envoy's memory is looked at.
const SAMPLES: u64 = 8;
/// By then every bounded memory of the filter is full.
const WARM_SAMPLES: usize = 2;
/// Of the 75,000 pairs after that 24,000 find a place, of 88 bytes each; if all did, they would take 6.6 MB.
const MOST_GROWTH_KIB: u64 = 4 * 1024;
/// For the whole test.
const DEADLINE: Duration = Duration::from_secs(160);

/// One request for each of the pairs from `from` on, all with the same stale token.
async fn hammer(world: &World, login: &Login, pairs: std::ops::Range<u64>) -> anyhow::Result<()> {
    let call = world.call(LOCAL).bearer(&login.tokens.id_token);
    let example = call.clone();
    let calls: Calls = Arc::new(move |number| {
        let pair = pairs.start + number;
        let session = format!("pair-{pair}");
        (pair < pairs.end).then(|| call.clone().header("x-tokenward-session", session.as_bytes()))
    });
    let mut hammer = Hammer::start(CONNECTIONS, &example, 401, &calls).await?;
    anyhow::ensure!(hammer.ends_within(DEADLINE).await?, "a request hangs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask soak"]
async fn a_hundred_thousand_refused_pairs_are_all_refused_and_leave_no_memory_behind() -> anyhow::Result<()> {
    tokio::time::timeout(DEADLINE, soak()).await?
}

async fn soak() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    world.envoy.set_wasm_log_level("warning").await?;
    let fresh = world.log_in("bob@example.com").await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    let vms = world.vms().await?;
    let (begun, mut resident_kib) = (Instant::now(), Vec::new());
    for sample in 0..SAMPLES {
        let share = PAIRS / SAMPLES;
        hammer(&world, &alice, sample * share..(sample + 1) * share).await?;
        resident_kib.push(world.envoy.resident_kib()?);
        println!(
            "{:>4} s: {} pairs, Envoy holds {} MB",
            begun.elapsed().as_secs(),
            (sample + 1) * share,
            resident_kib.last().unwrap_or(&0) / 1024
        );
    }
    // Half of them found no place; all are refused all the same.
    hammer(&world, &alice, 0..5_000).await?;
    let (warm, last) = (
        resident_kib[WARM_SAMPLES - 1],
        resident_kib[resident_kib.len() - 1],
    );
    let growth_kib = last.saturating_sub(warm);
    let stats = world.envoy.stats().await?;
    let asked = stats.count("tokenward_control_calls_total", &[]);
    let upstream = world.upstream_requests();

    let mut table = Table::new("100,000 pairs of one stale token, 64 connections, 4 workers");
    table.row("seconds", begun.elapsed().as_secs(), "");
    table.row("requests", PAIRS + 5_000, "each answered 401");
    table.row("calls to control", asked, "at most one a request");
    table.row("WARN lines", world.tally().warnings, "at most one a request");
    table.row(
        "KiB that Envoy grew after a quarter",
        growth_kib,
        format!("at most {MOST_GROWTH_KIB}"),
    );
    table.row("requests that reached a server", upstream, "0");
    table.row(
        "refreshes at the issuer",
        world.home.counts().refreshes_presented,
        "at most 1",
    );
    table.print();
    assert!(growth_kib <= MOST_GROWTH_KIB, "{resident_kib:?}");
    assert!((PAIRS..=PAIRS + 5_000).contains(&asked), "{asked}");
    assert!(u64::try_from(world.tally().warnings)? <= PAIRS + 5_000);
    assert_eq!((upstream, world.rejected_expired()), (0, 0));
    assert!(world.home.counts().refreshes_presented <= 1);
    world.ensure_every_worker_serves(LOCAL, &fresh).await?;
    assert_eq!(world.vms().await?, vms);
    Ok(())
}
