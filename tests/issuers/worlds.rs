//! The whole path on Keycloak: Envoy with the filter, control, an MCP server that gets the user's own token.

use std::time::{Duration, Instant};

use tokenward_harness::issuer::{Issuer as _, fingerprint};
use tokenward_harness::parts::keycloak::{self, Realm};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Store, World, WorldBuilder};
use tokenward_tests::issuer_stories::{self, answer, ends_since, short_lived, until_served};

const BOB: &str = "bob@example.com";
const REMOTE: &str = "remote-1";

/// A world whose home is a realm, with four workers in Envoy. Its exchange server is of another realm, which trusts the first.
async fn start(story: &str, world: WorldBuilder) -> anyhow::Result<Option<World<Realm>>> {
    start_as_built(story, world.workers(4)).await
}

async fn start_as_built(story: &str, world: WorldBuilder) -> anyhow::Result<Option<World<Realm>>> {
    if !keycloak::is_there() {
        tokenward_harness::aloud!("left out: {story}: {}", keycloak::IS_MISSING);
        return Ok(None);
    }
    world.start_on().await.map(Some)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_of_keycloak_passes_unchanged_and_causes_no_call() -> anyhow::Result<()> {
    let Some(world) = start("a fresh token", World::builder()).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    for _ in 0..20 {
        assert_eq!(answer(&world, LOCAL, &alice).await?, (200, None));
    }
    let presented = fingerprint(&alice.tokens.id_token);
    let seen = world.server(LOCAL).seen();
    assert_eq!(seen.len(), 20);
    assert!(
        seen.iter().all(|token| token.fingerprint == presented),
        "byte for byte"
    );
    let counts = world.home.counts();
    assert_eq!((counts.logins, counts.refreshes_presented), (1, 0));
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_idle_past_expiry_behind_envoy_are_one_refresh_at_keycloak() -> anyhow::Result<()> {
    let Some(world) = start("idle past expiry behind Envoy", short_lived()).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    for round in 1..=2 {
        world.wait_until_tokens_expired().await;
        let (before, begun) = (world.home.counts(), Instant::now());
        let answers = world.call(LOCAL).login(&alice).send_many(50).await?;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 50], "round {round}");
        let refreshed = world.home.counts().refreshes_succeeded - before.refreshes_succeeded;
        let most = 1 + ends_since(begun);
        assert!((1..=most).contains(&refreshed), "round {round}: {refreshed}");
    }
    let counts = world.home.counts();
    assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded);
    assert_eq!(world.home.refreshes().await?, (counts.refreshes_succeeded, 0));
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_after_keycloak_has_ended_the_login_reaches_no_server_and_a_new_login_recovers()
-> anyhow::Result<()> {
    let Some(world) = start("a storm", short_lived()).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    world.home.end_login(ALICE, CLIENT.0).await?;
    world.wait_until_tokens_expired().await;
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        for listener in world.call(LOCAL).login(&alice).listen().send_many(8).await? {
            assert_eq!(
                (listener.status, listener.refusal().as_deref()),
                (401, Some("needs_login"))
            );
            refused += 1;
        }
    }
    assert!(refused >= 8);
    assert_eq!(world.upstream_requests(), 0);
    let counts = world.home.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 0));
    assert_eq!(world.home.refreshes().await?, (0, 1));
    world.ensure_one_warning_per_pair_and_minute(1).await?;
    let (status, refusal) = answer(&world, REMOTE, &alice).await?;
    assert_eq!((status, refusal.as_deref()), (401, Some("needs_login")));
    assert_eq!(world.remote.counts().exchanges_presented, 0);
    assert_eq!(world.home.counts().refreshes_presented, 1, "asked again");
    let again = world.log_in_again(&alice).await?;
    for server in [LOCAL, REMOTE] {
        assert_eq!(answer(&world, server, &again).await?, (200, None), "{server}");
    }
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_between_two_realms_behind_envoy_is_done_once_and_renewed_once() -> anyhow::Result<()> {
    let Some(world) = start("exchange and renewal behind Envoy", short_lived()).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    for round in 1..=2 {
        let (home, remote, begun) = (world.home.counts(), world.remote.counts(), Instant::now());
        let answers = world.call(REMOTE).login(&alice).send_many(20).await?;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 20], "round {round}: {}", answers[0].body);
        let most = 1 + ends_since(begun);
        // The registered login has no access token: its first refresh brings it.
        let refreshes = world.home.counts().refreshes_succeeded - home.refreshes_succeeded;
        assert!(
            (1..=most).contains(&refreshes),
            "round {round}: {refreshes} refreshes"
        );
        let exchanges = world.remote.counts().exchanges_succeeded - remote.exchanges_succeeded;
        assert!(
            (1..=most).contains(&exchanges),
            "round {round}: {exchanges} exchanges"
        );
        world.wait_until_tokens_expired().await;
    }
    let counts = world.remote.counts();
    assert_eq!(counts.exchanges_presented, counts.exchanges_succeeded);
    let presented = fingerprint(&alice.tokens.id_token);
    let seen = world.server(REMOTE).seen();
    assert_eq!(seen.len(), 40);
    assert!(seen.iter().all(|token| token.fingerprint != presented));
    assert_eq!((world.rejected_expired(), world.own_tokens()), (0, 0));
    Ok(())
}

/// The pods restart with stale sessions in Valkey; then Keycloak is down.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_keycloak_survive_a_restart_and_an_outage_of_keycloak() -> anyhow::Result<()> {
    let world = short_lived().store(Store::Valkey);
    let Some(mut world) = start("a restart and an outage", world).await? else {
        return Ok(());
    };
    let logins = [world.log_in(ALICE).await?, world.log_in(BOB).await?];
    world.control.kill()?;
    world.wait_until_tokens_expired().await;
    world.control.restart().await?;
    for login in &logins {
        until_served(&world, LOCAL, login).await?;
    }
    world.wait_until_tokens_expired().await;
    world.home.set_down(true);
    let reached = world.upstream_requests();
    for login in &logins {
        let (status, refusal) = answer(&world, LOCAL, login).await?;
        assert_eq!(status, 503, "{refusal:?}");
    }
    assert_eq!(world.upstream_requests(), reached);
    world.home.set_down(false);
    for login in &logins {
        until_served(&world, LOCAL, login).await?;
        assert_eq!(world.session(login).await?["state"], "active");
    }
    let counts = world.home.counts();
    assert_eq!(counts.logins, 2, "no user logged in again");
    assert_eq!(world.home.refreshes().await?.1, 0, "Keycloak has refused none");
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_keycloak_near_its_end_is_forwarded_and_the_next_one_fetched_ahead() -> anyhow::Result<()>
{
    match start("near its end", issuer_stories::of_tokens_near_their_end()).await? {
        Some(world) => issuer_stories::is_fetched_ahead(&world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_and_malformed_tokens_of_keycloak_reach_no_server() -> anyhow::Result<()> {
    match start("malformed tokens", World::builder()).await? {
        Some(world) => issuer_stories::changed_tokens_reach_no_server(&world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_of_keycloak_that_a_server_rejects_is_replaced_once() -> anyhow::Result<()> {
    match start_as_built("a rejected token", issuer_stories::of_rejected_tokens()).await? {
        Some(world) => issuer_stories::rejected_token_is_replaced_once(&world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_is_gone_is_503_and_back_by_itself_with_keycloak() -> anyhow::Result<()> {
    match start("control gone", short_lived()).await? {
        Some(mut world) => issuer_stories::control_is_gone(&mut world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_hangs_is_503_within_the_filters_deadline_with_keycloak() -> anyhow::Result<()>
{
    match start("control hanging", issuer_stories::of_a_hanging_control()).await? {
        Some(mut world) => issuer_stories::control_hangs(&mut world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_503_and_signs_no_user_of_keycloak_out() -> anyhow::Result<()> {
    match start("store gone", short_lived().store(Store::Valkey)).await? {
        Some(mut world) => issuer_stories::store_is_gone(&mut world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_user_of_keycloak_calls_idles_and_refreshes() -> anyhow::Result<()> {
    match start("a client that logs in here", issuer_stories::of_logins_here()).await? {
        Some(world) => issuer_stories::calls_idles_and_refreshes(&world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_keycloak_ends_sends_the_client_back_to_the_login() -> anyhow::Result<()> {
    match start("a login here that ends", issuer_stories::of_logins_here()).await? {
        Some(world) => issuer_stories::is_sent_back_to_the_login(&world).await,
        None => Ok(()),
    }
}
