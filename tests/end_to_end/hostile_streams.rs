use tokenward_harness::issuer::Endpoint;
use tokenward_harness::world::{ALICE, Forger, LOCAL, SilentServer, World};

const STREAMS: usize = 500;
/// Streams that fill what a worker keeps in any case, such as its memo of tokens.
const WARM: usize = 400;
/// What the filter may add to what Envoy itself takes for a stream, KiB.
const MOST_KIB: u64 = 16;

/// A world on one worker whose local server never answers, and KiB that Envoy took for each of the hostile streams.
async fn flooded(world: &mut World, server: &SilentServer) -> anyhow::Result<u64> {
    let alice = world.log_in(ALICE).await?;
    world.put_behind(&[(LOCAL, server.address)]).await?;
    let forger = Forger::after(&alice.tokens.id_token)?;
    let call = world.call(LOCAL);
    let first = forger.flood(&call, 0..WARM).await?;
    world.wait_for_requests_under_way(u64::try_from(WARM)?).await?;
    let before = world.envoy.resident_kib()?;
    let open = forger.flood(&call, WARM..WARM + STREAMS).await?;
    let all = u64::try_from(first.len() + open.len())?;
    world.wait_for_requests_under_way(all).await?;
    let taken = world.envoy.resident_kib()?.saturating_sub(before);
    Ok(taken / u64::try_from(STREAMS)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_stream_takes_little_more_of_envoy_than_it_does_without_the_filter() -> anyhow::Result<()> {
    let server = SilentServer::start().await?;
    let mut without = World::builder().workers(1).filter_off().start().await?;
    let without = flooded(&mut without, &server).await?;
    let mut world = World::builder().workers(1).start().await?;
    let with = flooded(&mut world, &server).await?;
    println!("{with} KiB a stream, {without} KiB without the filter");
    assert!(
        with <= without + MOST_KIB,
        "{with} KiB a stream, {without} without the filter"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn six_requests_that_wait_for_control_among_hostile_streams_are_answered() -> anyhow::Result<()> {
    let server = SilentServer::start().await?;
    let mut world = World::builder().workers(1).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    world.put_behind(&[(LOCAL, server.address)]).await?;
    world.home.hold(Endpoint::Refresh);
    let innocent = world.call("remote-1").login(&alice);
    let mut paused = Vec::new();
    for _ in 0..6 {
        paused.push(innocent.send_alone().await?);
    }
    world.home.wait_until_held(Endpoint::Refresh, 1).await;
    let forger = Forger::after(&alice.tokens.id_token)?;
    let open = forger.flood(&world.call(LOCAL), 0..STREAMS).await?;
    world
        .wait_for_requests_under_way(u64::try_from(paused.len() + open.len())?)
        .await?;
    world.home.release(Endpoint::Refresh);
    for waiting in paused {
        let answer = waiting.whole_answer().await?;
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}
