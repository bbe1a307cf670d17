use std::time::Duration;

use tokenward_harness::world::{ALICE, Forger, LOCAL, SilentServer, World};

use crate::table::Table;

const DEADLINE: Duration = Duration::from_secs(120);
/// Far past where a worker's VM trapped when each stream retained its token: at 4,750.
const STREAMS: usize = 6_000;
/// Fewer than may wait for a connection to their server at once.
const BATCH: usize = 250;
/// V8 gives a VM 1 GiB. Envoy itself takes three times a token of 32 KiB for a stream.
const MOST_KIB_A_STREAM: u64 = 128;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask soak"]
async fn six_thousand_hostile_streams_on_one_worker_trap_no_vm_and_harm_nobody_else() -> anyhow::Result<()> {
    tokio::time::timeout(DEADLINE, soak()).await?
}

async fn soak() -> anyhow::Result<()> {
    let server = SilentServer::start().await?;
    let mut world = World::builder().workers(1).start().await?;
    let alice = world.log_in(ALICE).await?;
    world.put_behind(&[(LOCAL, server.address)]).await?;
    let vms = world.vms().await?;
    let before = world.envoy.resident_kib()?;
    let forger = Forger::after(&alice.tokens.id_token)?;
    let (call, mut open) = (world.call(LOCAL), Vec::new());
    for number in (0..STREAMS).step_by(BATCH) {
        open.extend(forger.flood(&call, number..number + BATCH).await?);
        world
            .wait_for_requests_under_way(u64::try_from(open.len())?)
            .await?;
    }
    let taken = world.envoy.resident_kib()?.saturating_sub(before) / u64::try_from(STREAMS)?;
    let answers = world.call("remote-1").login(&alice).send_many(6).await?;
    drop(open);
    // The same number again, each given up before the server answers.
    for number in (0..STREAMS).step_by(BATCH) {
        drop(forger.flood(&call, number..number + BATCH).await?);
    }
    let after = world.call("remote-1").login(&alice).send().await?;

    let mut table = Table::new("hostile streams, 1 worker");
    table.row("streams in flight", STREAMS, "");
    table.row(
        "KiB of Envoy for each",
        taken,
        format!("at most {MOST_KIB_A_STREAM}"),
    );
    table.row("others answered meanwhile", answers.len(), "6, each 200");
    table.row("others answered afterwards", after.status, "200");
    table.print();
    assert!(taken <= MOST_KIB_A_STREAM, "{taken} KiB a stream");
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(after.status, 200, "{}", after.body);
    assert_eq!(world.vms().await?, vms, "no VM was started again");
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}
