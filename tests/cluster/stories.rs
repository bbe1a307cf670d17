//! The main stories in a cluster: what Helm installs is accepted and programmed by Envoy Gateway, and its Envoy serves them.

use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, World};

use super::installing::RELEASE;
use super::stage::{ENVOY, GATEWAYS, Stage};

const REMOTE: &str = "remote-1";

async fn status(world: &World, at: &str, server: &str, login: &Login) -> anyhow::Result<u16> {
    Ok(world.call(server).at(at).login(login).send().await?.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_helm_installs_is_programmed_and_fresh_stale_and_dead_logins_are_told_apart()
-> anyhow::Result<()> {
    let stage = Stage::start("stories").await?;
    for resource in [
        (ENVOY, "EnvoyExtensionPolicy", RELEASE),
        (ENVOY, "BackendTrafficPolicy", RELEASE),
        (GATEWAYS, "HTTPRoute", "tokenward-local"),
        (GATEWAYS, "HTTPRoute", "tokenward-remote-1"),
    ] {
        stage.wait_for_condition(resource, ("Accepted", "True")).await?;
    }
    for resource in [(ENVOY, "EnvoyPatchPolicy", RELEASE), (GATEWAYS, "Gateway", "mcp")] {
        stage.wait_for_condition(resource, ("Programmed", "True")).await?;
    }

    let (world, url) = (&stage.world, stage.envoy.url());
    let fresh = world.log_in("bob@example.com").await?;
    assert_eq!(status(world, &url, LOCAL, &fresh).await?, 200);
    assert_eq!(world.tally().refreshes, 0, "a fresh token causes no call");

    let stale = world.log_in_an_hour_ago(ALICE).await?;
    let answers = world.call(LOCAL).at(&url).login(&stale).send_many(16).await?;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers[0]
    );
    assert_eq!(status(world, &url, REMOTE, &stale).await?, 200);
    let tally = world.tally();
    assert_eq!((tally.refreshes, tally.exchanges, tally.accepted), (1, 1, 18));
    assert_eq!((tally.rejected_expired, tally.rejected_other), (0, 0));

    let dead = world.log_in_an_hour_ago("carol@example.com").await?;
    assert!(world.home.revoke("carol@example.com", CLIENT.0));
    let before = world.upstream_requests();
    let answers = world.call(LOCAL).at(&url).login(&dead).send_many(64).await?;
    assert!(
        answers.iter().all(|answer| answer.status == 401),
        "{:?}",
        answers[0]
    );
    assert_eq!(world.upstream_requests(), before);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}
