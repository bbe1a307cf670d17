use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokenward_harness::issuer::Endpoint;
use tokenward_harness::parts::{EnvoyConfig, EnvoyFilter, write_file};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, UnderWay, World, WorldBuilder};

use super::Before;

const ANOTHER_URL: &str = "https://another.example.com/.well-known/oauth-protected-resource";
/// A custom section (WebAssembly core 2.5.3): id 0, 8 bytes, name of 4 bytes, content of 3. It does nothing, and the
/// module is another one to Envoy.
const CUSTOM_SECTION: [u8; 10] = *b"\x00\x08\x04note\x01\x02\x03";

/// Four workers behind a listener that can be replaced, and pauses and gates that outlast a replacement.
pub(super) fn builder() -> WorldBuilder {
    World::builder()
        .workers(4)
        .listener_from_file()
        .filter_setting(
            "control",
            json!({
                "cluster": "tokenward_control", "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"}, "timeout": "34s",
            }),
        )
        .filter_setting("gate", json!({"login_first": "60s", "login_longest": "60s"}))
        .control_setting("caller_deadline", "30s")
}

/// The running configuration, changed.
fn changed(world: &World, change: impl FnOnce(&mut EnvoyFilter)) -> EnvoyConfig {
    let mut config = world.envoy.config().clone();
    let filter = config.filter.as_mut().expect("a filter");
    filter.configuration["resource_metadata"] = json!(ANOTHER_URL);
    change(filter);
    config
}

/// A module that does the same and is another one to Envoy.
pub(super) fn another_module(world: &World, folder: &TempDir) -> anyhow::Result<PathBuf> {
    let module = std::fs::read(&world.envoy.config().filter.as_ref().expect("a filter").module)?;
    Ok(write_file(
        folder,
        "another.wasm",
        [&module[..], &CUSTOM_SECTION].concat(),
    )?)
}

/// Waits until no worker answers with the old configuration any more.
async fn wait_until_taken(world: &World) -> anyhow::Result<()> {
    wait_until_all_name(world, ANOTHER_URL).await
}

/// Waits until every worker's 401 names this metadata document.
pub(super) async fn wait_until_all_name(world: &World, url: &str) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let answers = world.call(LOCAL).send_many_alone(32).await?;
        assert!(
            answers.iter().all(|answer| answer.status() == 401),
            "{:?}",
            answers[0]
        );
        if answers.iter().all(|answer| answer.text.contains(url)) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < limit, "{}", world.envoy.log().tail(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// 20 requests that control's refresh keeps waiting.
pub(super) async fn paused(world: &World, stale: &Login) -> anyhow::Result<Vec<UnderWay>> {
    world.home.hold(Endpoint::Refresh);
    let mut paused = Vec::new();
    for _ in 0..20 {
        paused.push(world.call(LOCAL).login(stale).send_alone().await?);
    }
    world.wait_for_requests_under_way(20).await?;
    world.home.wait_until_held(Endpoint::Refresh, 1).await;
    Ok(paused)
}

/// The requests that waited while the listener was replaced are served, and nothing is asked for twice.
async fn all_are_served(world: &World, paused: Vec<UnderWay>) -> anyhow::Result<()> {
    world.wait_for_requests_under_way(20).await?;
    let before = world.upstream_requests();
    world.home.release(Endpoint::Refresh);
    for waiting in paused {
        let answer = waiting.whole_answer().await?;
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    assert_eq!(world.upstream_requests(), before + 20);
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_pushed_while_requests_are_paused_loses_none_of_them() -> anyhow::Result<()> {
    let world = builder().start().await?;
    let fresh = world.log_in("bob@example.com").await?;
    let stale = world.log_in_an_hour_ago(ALICE).await?;
    let active = world.vms().await?.active;
    let paused = paused(&world, &stale).await?;
    world.envoy.replace_listener(&changed(&world, |_| {}))?;
    wait_until_taken(&world).await?;
    // Envoy tries a configuration in a VM that it throws away again.
    let before = Before::attack(&world).await?;
    assert_eq!(before.0.active, active);
    before.is_survived(&world, &fresh).await?;
    all_are_served(&world, paused).await?;
    for answer in world.call(LOCAL).login(&stale).send_many_alone(32).await? {
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    assert_eq!(
        world.home.counts().refreshes_presented,
        1,
        "control has the new token"
    );
    before.is_survived(&world, &fresh).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_module_in_place_of_the_running_one_loses_no_request_and_forgets_no_gate()
-> anyhow::Result<()> {
    let world = builder().start().await?;
    let fresh = world.log_in("bob@example.com").await?;
    let ended = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    assert_eq!(
        world.call(LOCAL).login(&ended).send().await?.refusal().as_deref(),
        Some("needs_login")
    );
    // Another session of the same user, with a grant that works.
    let stale = world.log_in_an_hour_ago(ALICE).await?;
    let refreshes = world.home.counts().refreshes_presented;
    let paused = paused(&world, &stale).await?;
    let before = world.vms().await?;

    let folder = TempDir::with_prefix("tokenward-another-module-")?;
    let another = another_module(&world, &folder)?;
    world
        .envoy
        .replace_listener(&changed(&world, |filter| filter.module = another))?;
    wait_until_taken(&world).await?;
    let calls = control_calls(&world).await?;
    for answer in world.call(LOCAL).login(&ended).send_many_alone(32).await? {
        assert_eq!(
            (answer.status(), answer.refusal().as_deref()),
            (401, Some("needs_login"))
        );
    }
    assert_eq!(
        control_calls(&world).await?,
        calls,
        "the gate was closed under the module before"
    );
    let warnings = world.envoy.wasm_lines();
    let about_the_end = |message: &str| message.contains("needs_login");
    let warnings = warnings
        .iter()
        .filter(|line| line.level == "warning" && about_the_end(&line.message));
    assert_eq!(warnings.count(), 1);

    world.home.release(Endpoint::Refresh);
    for waiting in paused {
        let answer = waiting.whole_answer().await?;
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    assert_eq!(world.home.counts().refreshes_presented, refreshes + 1);
    world.ensure_every_worker_serves(LOCAL, &fresh).await?;
    let after = world.vms().await?;
    assert!(
        after.created > before.created,
        "VMs of the other module: {after:?}"
    );
    assert_eq!((after.reloads, world.rejected_expired()), (0, 0));
    Ok(())
}

pub(super) async fn control_calls(world: &World) -> anyhow::Result<u64> {
    Ok(world
        .envoy
        .stats()
        .await?
        .count("tokenward_control_calls_total", &[]))
}
