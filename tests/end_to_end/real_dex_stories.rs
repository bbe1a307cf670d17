//! The rest of the end-to-end stories on two real Dex: what comes near its end, what is malformed, restarts, outages and
//! storms. Left out, with a line on the terminal, where Dex is not built.

use std::time::{Duration, Instant};

use tokenward_harness::issuer::Issuer as _;
use tokenward_harness::parts::{RealDex, tools};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Store, World, WorldBuilder};
use tokenward_tests::issuer_stories::{self, answer, short_lived, until_served};

const BOB: &str = "bob@example.com";

/// With four workers in Envoy.
pub(crate) async fn start(story: &str, world: WorldBuilder) -> anyhow::Result<Option<World<RealDex>>> {
    start_as_built(story, world.workers(4)).await
}

pub(crate) async fn start_as_built(
    story: &str,
    world: WorldBuilder,
) -> anyhow::Result<Option<World<RealDex>>> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!("left out: {story}: {}", tools::DEX_IS_MISSING);
        return Ok(None);
    }
    world.start_on().await.map(Some)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_real_dex_near_its_end_is_forwarded_and_the_next_one_fetched_ahead() -> anyhow::Result<()>
{
    match start("near its end", issuer_stories::of_tokens_near_their_end()).await? {
        Some(world) => issuer_stories::is_fetched_ahead(&world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_and_malformed_tokens_of_a_real_dex_reach_no_server() -> anyhow::Result<()> {
    match start("malformed tokens", World::builder()).await? {
        Some(world) => issuer_stories::changed_tokens_reach_no_server(&world).await,
        None => Ok(()),
    }
}

/// The pods restart with stale sessions in Valkey; then the store, then control is down.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_real_dex_survive_a_restart_and_outages() -> anyhow::Result<()> {
    let world = short_lived().store(Store::Valkey).remotes(3);
    let Some(mut world) = start("restart and outages", world).await? else {
        return Ok(());
    };
    let (alice, bob) = (world.log_in(ALICE).await?, world.log_in(BOB).await?);
    world.control.kill()?;
    world.wait_until_tokens_expired().await;
    world.control.restart().await?;
    for login in [&alice, &bob] {
        for server in world.server_names() {
            assert_eq!(answer(&world, &server, login).await?, (200, None), "{server}");
        }
    }
    for user in [ALICE, BOB] {
        let counts = world.home.counts_of(user);
        assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded, "{user}");
        assert!(counts.refreshes_succeeded >= 1);
    }
    world.wait_until_tokens_expired().await;
    let reached = world.upstream_requests();
    world.valkey.as_mut().expect("a Valkey").pause()?;
    let refused = answer(&world, LOCAL, &alice).await?;
    assert_eq!(refused, (503, Some("store_unavailable".to_owned())));
    world.valkey.as_mut().expect("a Valkey").resume()?;
    world.control.kill()?;
    let refused = answer(&world, LOCAL, &bob).await?;
    assert_eq!(refused, (503, Some("control_unreachable".to_owned())));
    assert_eq!(world.upstream_requests(), reached);
    world.control.restart().await?;
    for login in [&alice, &bob] {
        until_served(&world, LOCAL, login).await?;
        assert_eq!(world.session(login).await?["state"], "active");
    }
    assert_eq!(world.home.counts().logins, 2, "no user logged in again");
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// One local and 16 exchange servers, a dead login, listeners that reconnect: then a new login.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_after_a_real_dex_has_ended_the_login_reaches_no_server_and_a_new_login_recovers()
-> anyhow::Result<()> {
    let Some(world) = start("storm", short_lived().remotes(16)).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    world.home.end_login(ALICE, CLIENT.0).await?;
    world.wait_until_tokens_expired().await;
    let (servers, begun) = (world.server_names(), Instant::now());
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(8) {
        for server in &servers {
            for listener in world.call(server).login(&alice).listen().send_many(4).await? {
                assert_eq!(
                    (listener.status, listener.refusal().as_deref()),
                    (401, Some("needs_login"))
                );
                refused += 1;
            }
        }
    }
    assert!(refused >= 4 * 17);
    assert_eq!(world.upstream_requests(), 0);
    let counts = world.home.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 0));
    assert_eq!(world.remote.counts().exchanges_presented, 0);
    world
        .ensure_one_warning_per_pair_and_minute(servers.len())
        .await?;
    let again = world.log_in_again(&alice).await?;
    for server in &servers {
        assert_eq!(answer(&world, server, &again).await?, (200, None), "{server}");
    }
    let tally = world
        .tally_when(|tally| tally.recoveries >= servers.len())
        .await?;
    assert_eq!((tally.recoveries, tally.rejected_expired), (servers.len(), 0));
    Ok(())
}
