//! A new control and a new module of the filter, while requests flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_tests::parts::{Control, EnvoyGateway, TempFolder, tools};
use tokenward_tests::world::{ALICE, Answer, CLIENT, Call, LOCAL, World};

/// 200 requests a second.
const EVERY: Duration = Duration::from_millis(5);
const BOB: &str = "bob@example.com";

/// Requests that go out until they are stopped, at a steady pace, whatever becomes of the earlier ones.
struct Flow {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<anyhow::Result<Answer>>>,
}

impl Flow {
    fn start(calls: Vec<Call>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut under_way = tokio::task::JoinSet::new();
            let mut beat = tokio::time::interval(EVERY);
            for call in calls.iter().cycle() {
                beat.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let call = call.clone();
                under_way.spawn(async move { call.send().await });
            }
            under_way.join_all().await
        });
        Self { stop, task }
    }

    async fn end(self) -> anyhow::Result<Vec<Answer>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?.into_iter().collect()
    }
}

/// The same module with one more custom section: other bytes, the same version.
fn another_module(folder: &TempFolder) -> anyhow::Result<std::path::PathBuf> {
    let mut bytes = std::fs::read(tools::filter_module()?)?;
    // Section 0, five bytes long: a name of four.
    bytes.extend_from_slice(b"\x00\x05\x04next");
    Ok(folder.write("tokenward_filter.wasm", bytes)?)
}

/// Until Envoy's listener in service has the filter with this digest, and no other listener is left in service.
async fn wait_for_module(gateway: &EnvoyGateway, digest: &str) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let told = gateway.told("dynamic_listeners").await?;
        let in_service = told["configs"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|listener| listener["active_state"].to_string());
        if in_service.into_iter().any(|listener| listener.contains(digest)) {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < limit,
            "the new module is not in service: {told:#}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
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
    assert_eq!(refused.send().await?.status, 401);

    let call = |server: &str, login| world.call(server).at(&gateway.url()).login(login);
    let flow = Flow::start(vec![
        call(LOCAL, &fresh),
        call(LOCAL, &stale),
        call("remote-1", &stale),
        call("remote-1", &fresh),
    ]);
    tokio::time::sleep(Duration::from_secs(2)).await;

    // The new control, on the same store, with the new module.
    let folder = TempFolder::new("module")?;
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
    tokio::time::sleep(Duration::from_secs(2)).await;

    let mut world = world;
    let (status, _) = world.control.terminate(Duration::from_secs(60)).await?;
    assert!(status.success());
    tokio::time::sleep(Duration::from_secs(2)).await;
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
    assert!(answers.len() > 1000, "only {} requests", answers.len());
    assert_eq!(world.rejected_expired(), 0);
    let lines = gateway.wasm_lines();
    let warnings = lines.iter().filter(|line| line.level == "warning").count();
    assert_eq!(warnings, 1, "the pair that is refused, once: {lines:#?}");
    println!("{} requests, none failed; {warnings} warning", answers.len());
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
    assert!(gateway.log().count(|line| line.contains("does not match")) > 0);
    Ok(())
}

async fn digest_at(control: &Control) -> anyhow::Result<String> {
    let url = format!("{}/filter/tokenward.wasm.sha256", control.url());
    let text = reqwest::get(url).await?.error_for_status()?.text().await?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}
