//! What a user sees of outages, on two real Dex: a server that rejects good tokens, control or the store down, and the
//! restart during which the home Dex is down. Left out, with a line on the terminal, where Dex is not built.

use std::time::Instant;

use serde_json::json;
use tokenward_harness::issuer::Issuer as _;
use tokenward_harness::world::{ALICE, Store};
use tokenward_tests::issuer_stories::{self, answer, ends_since, ensure_over, short_lived, until_served};

use crate::real_dex_stories::{start, start_as_built};

const REMOTES: usize = 3;

/// The second of the two incidents that started this project, see [`crate::seeds`].
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_a_real_dex_is_down_is_over_with_the_refresh_that_comes_later() -> anyhow::Result<()>
{
    let story = short_lived()
        .store(Store::Valkey)
        .remotes(REMOTES)
        .clients_of_their_own()
        .filter_setting(
            "gate",
            json!({"transient_first": "200ms", "transient_longest": "500ms"}),
        );
    let Some(mut world) = start("restart while the issuer is down", story).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    let servers = world.server_names();
    for server in &servers {
        assert_eq!(answer(&world, server, &alice).await?, (200, None), "{server}");
    }
    world.home.set_down(true);
    world.control.kill()?;
    // Nothing can be issued any more: what expires here is all that clients and the store hold.
    world.wait_until_tokens_expired().await;
    world.control.restart().await?;
    let (home, remote) = (world.home.counts(), world.remote.counts());
    let reached = world.upstream_requests();
    for _ in 0..10 {
        for server in &servers {
            let listener = world.call(server).login(&alice).listen().send().await?;
            assert_eq!(listener.status, 503, "waiting helps: {}", listener.body);
        }
    }
    assert_eq!(world.upstream_requests(), reached, "the storm reached no server");
    world
        .ensure_one_warning_per_pair_and_minute(servers.len())
        .await?;

    let healed = Instant::now();
    world.home.set_down(false);
    for server in &servers {
        until_served(&world, server, &alice).await?;
    }
    let exchanges = world.remote.counts().exchanges_succeeded - remote.exchanges_succeeded;
    let most = REMOTES * (1 + ends_since(healed));
    assert!((REMOTES..=most).contains(&exchanges), "{exchanges} exchanges");
    let tally = world
        .tally_when(|tally| tally.recoveries >= servers.len())
        .await?;
    assert_eq!(tally.rejected_expired, 0);
    ensure_over(&world, &alice, home, healed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_of_a_real_dex_that_a_server_rejects_is_replaced_once() -> anyhow::Result<()> {
    match start_as_built("a rejected token", issuer_stories::of_rejected_tokens()).await? {
        Some(world) => issuer_stories::rejected_token_is_replaced_once(&world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_is_gone_is_503_and_back_by_itself_with_a_real_dex() -> anyhow::Result<()> {
    match start("control gone", short_lived()).await? {
        Some(mut world) => issuer_stories::control_is_gone(&mut world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_hangs_is_503_within_the_filters_deadline_with_a_real_dex()
-> anyhow::Result<()> {
    match start("control hanging", issuer_stories::of_a_hanging_control()).await? {
        Some(mut world) => issuer_stories::control_hangs(&mut world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_503_and_signs_no_user_of_a_real_dex_out() -> anyhow::Result<()> {
    match start("store gone", short_lived().store(Store::Valkey)).await? {
        Some(mut world) => issuer_stories::store_is_gone(&mut world).await,
        None => Ok(()),
    }
}
