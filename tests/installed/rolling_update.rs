//! A new control and a new module of the filter, while requests flow.

use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokenward_harness::parts::{Control, EnvoyGateway};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};
use tokenward_tests::flow::{Flow, another_module};

const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// `warn_every` of the filter.
const WARN_EVERY_SECONDS: u64 = 60;
const BOB: &str = "bob@example.com";

/// What is answered before, between and after the updates.
const A_WHILE: usize = 400;

/// Until a listener in service has the filter with this digest; one that drains is in service no more.
async fn wait_for_module(gateway: &EnvoyGateway, digest: &str) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let dump = gateway.config_dump("dynamic_listeners").await?;
        let in_service = dump["configs"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|listener| listener["active_state"].to_string());
        if in_service.into_iter().any(|listener| listener.contains(digest)) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < limit,
            "the new module is not in service: {dump:#}"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_and_no_warning_comes_twice_while_both_are_updated() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("a rolling update").await? else {
        return Ok(());
    };
    let gateway = world.install(&installation).await?;
    let old = world.module_digest().await?;
    let (fresh, stale) = (
        world.log_in(ALICE).await?,
        world.log_in_an_hour_ago("carol@example.com").await?,
    );
    let dead = world.log_in_an_hour_ago(BOB).await?;
    assert!(world.home.revoke(BOB, CLIENT.0));
    let refused = world.call(LOCAL).at(&gateway.url()).login(&dead);
    let begun = Instant::now();
    assert_eq!(refused.send().await?.status, 401);

    let call = |server: &str, login| world.call(server).at(&gateway.url()).login(login);
    let flow = Flow::start(vec![
        call(LOCAL, &fresh),
        call(LOCAL, &stale),
        call("remote-1", &stale),
        call("remote-1", &fresh),
    ]);
    flow.goes_on_for(A_WHILE).await?;

    // The new control, on the same store, with the new module.
    let folder = TempDir::with_prefix("tokenward-module-")?;
    let module = another_module(&folder)?;
    let config = world
        .control
        .config()
        .clone()
        .setting("filter_module", json!({"path": module}));
    let next = Control::start(config).await?;
    let new = digest_at(&next).await?;
    assert_ne!(old, new);
    let updated = installation
        .value("/gateway/control/port", next.address().port())?
        .value("/gateway/filter/sha256", new.as_str())?;
    gateway.replace_resources(&world.resources(&updated)?)?;
    wait_for_module(&gateway, &new).await?;
    flow.goes_on_for(A_WHILE).await?;

    let mut world = world;
    let (status, _) = world.control.terminate(Duration::from_secs(60)).await?;
    assert!(status.success());
    flow.goes_on_for(A_WHILE).await?;
    assert_eq!(refused.send().await?.status, 401);
    let answers = flow.end().await?;

    let failed: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed, the first: {:?}",
        failed.len(),
        answers.len(),
        failed[0]
    );
    assert!(answers.len() >= 3 * A_WHILE, "only {} requests", answers.len());
    assert_eq!(world.rejected_expired(), 0);
    let warnings = gateway.warnings().await?;
    let minutes = 1 + usize::try_from(begun.elapsed().as_secs() / WARN_EVERY_SECONDS)?;
    assert!(
        (1..=minutes).contains(&warnings.len()),
        "the pair that is refused, once a minute: {warnings:#?}"
    );
    println!(
        "{} requests, none failed; {} warning",
        answers.len(),
        warnings.len()
    );
    Ok(())
}

/// Neither may open the gateway: the routes answer by themselves, and no request reaches a server.
#[tokio::test(flavor = "multi_thread")]
async fn a_module_other_than_the_pinned_one_lets_nothing_through() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("a wrong module").await? else {
        return Ok(());
    };
    let installation = installation.value("/gateway/filter/sha256", "0".repeat(64))?;
    let gateway = world.install(&installation).await?;
    let alice = world.log_in(ALICE).await?;
    let answer = world.call(LOCAL).at(&gateway.url()).login(&alice).send().await?;
    assert_eq!((answer.status, world.upstream_requests()), (500, 0));
    gateway
        .log()
        .wait_for_line(|line| line.contains("does not match"), Duration::from_secs(30))
        .await?;
    Ok(())
}

async fn digest_at(control: &Control) -> anyhow::Result<String> {
    let url = format!("{}/filter/tokenward.wasm.sha256", control.url());
    let text = reqwest::get(url).await?.error_for_status()?.text().await?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}
