//! A new control and a new module of the filter, while requests flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tokenward_harness::parts::{Control, EnvoyGateway, tools, write_file};
use tokenward_harness::world::{ALICE, Answer, CLIENT, Call, LOCAL, World};
use tokio::time::MissedTickBehavior;

/// 200 requests a second.
const EVERY: Duration = Duration::from_millis(5);
/// A machine that cannot answer so many gets no more at a time than it would in half a second.
const MOST_UNDER_WAY: usize = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// `warn_every` of the filter.
const WARN_EVERY_SECONDS: u64 = 60;
const BOB: &str = "bob@example.com";

/// What is answered before, between and after the updates.
const A_WHILE: usize = 400;

/// Requests that go out until they are stopped, at a steady pace, whatever becomes of the earlier ones.
struct Flow {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<anyhow::Result<Vec<anyhow::Result<Answer>>>>,
}

impl Flow {
    fn start(calls: Vec<Call>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (stop.clone(), answered.clone());
        let task = tokio::spawn(async move {
            let (mut under_way, mut answers) = (tokio::task::JoinSet::new(), Vec::new());
            let mut beat = tokio::time::interval(EVERY);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for call in calls.iter().cycle() {
                beat.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                if under_way.len() >= MOST_UNDER_WAY {
                    answers.extend(under_way.join_next().await.transpose()?);
                }
                let (call, counted) = (call.clone(), counted.clone());
                under_way.spawn(async move {
                    let answer = call.send().await;
                    counted.fetch_add(1, Ordering::Relaxed);
                    answer
                });
            }
            answers.extend(under_way.join_all().await);
            Ok(answers)
        });
        Self { stop, answered, task }
    }

    /// Waits until so many more were answered.
    async fn goes_on_for(&self, count: usize) -> anyhow::Result<()> {
        let end = self.answered.load(Ordering::Relaxed) + count;
        let limit = Instant::now() + Duration::from_secs(60);
        while self.answered.load(Ordering::Relaxed) < end {
            anyhow::ensure!(Instant::now() < limit, "{count} requests take too long");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn end(self) -> anyhow::Result<Vec<Answer>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??.into_iter().collect()
    }
}

/// The same module with one more custom section: other bytes, the same version.
fn another_module(folder: &TempDir) -> anyhow::Result<std::path::PathBuf> {
    let mut bytes = std::fs::read(tools::filter_module()?)?;
    // Section 0, five bytes long: a name of four.
    bytes.extend_from_slice(b"\x00\x05\x04next");
    Ok(write_file(folder, "tokenward_filter.wasm", bytes)?)
}

/// Until a listener in service has the filter with this digest; one that drains is in service no more.
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
