//! A new control and a new module by `helm upgrade`, while 200 requests a second flow.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::Control;
use tokenward_harness::world::{ALICE, LOCAL};
use tokenward_tests::flow::{Flow, another_module};

use super::installing::{CHART, RELEASE, merged};
use super::stage::{Stage, put_endpoints};

const A_WHILE: usize = 400;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

async fn digest(control: &Control) -> anyhow::Result<String> {
    let url = format!("{}/filter/tokenward.wasm.sha256", control.url());
    let text = reqwest::get(url).await?.error_for_status()?.text().await?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Until a listener in service has the filter with this digest.
async fn wait_for_module(stage: &Stage, digest: &str) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let dump = stage
            .envoy
            .admin("/config_dump?resource=dynamic_listeners")
            .await?;
        let dump: Value = serde_json::from_str(&dump)?;
        let listeners = dump["configs"].as_array().into_iter().flatten();
        let mut active = listeners.map(|listener| listener["active_state"].to_string());
        if active.any(|listener| listener.contains(digest)) {
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
async fn no_request_fails_and_no_stale_token_reaches_a_server_while_chart_and_module_are_upgraded()
-> anyhow::Result<()> {
    let stage = Stage::start("rolling").await?;
    let (fresh, stale) = (
        stage.world.log_in(ALICE).await?,
        stage.world.log_in_an_hour_ago("carol@example.com").await?,
    );
    let call = |server: &str, login| stage.world.call(server).at(&stage.envoy.url()).login(login);
    let flow = Flow::start(vec![
        call(LOCAL, &fresh),
        call(LOCAL, &stale),
        call("remote-1", &stale),
        call("remote-1", &fresh),
    ]);
    flow.goes_on_for(A_WHILE).await?;

    // The new control, on the same store, with the new module; the Service's endpoints are both.
    let folder = TempDir::with_prefix("tokenward-module-")?;
    let module = another_module(&folder)?;
    let config = stage.world.control.config().clone();
    let next = Control::start(config.setting("filter_module", json!({"path": module}))).await?;
    let new = digest(&next).await?;
    assert_ne!(new, stage.world.module_digest().await?);
    let upgrade = json!({
        "service": {"port": next.address().port()}, "gateway": {"filter": {"sha256": new}},
        "commonLabels": {"upgraded": "yes"},
    });
    let values = merged(&stage.values, &upgrade);
    stage.helm.run_with(&["upgrade", RELEASE, CHART], &values)?;
    put_endpoints(&stage.client, &stage.namespace, RELEASE, next.address()).await?;
    wait_for_module(&stage, &new).await?;
    flow.goes_on_for(A_WHILE).await?;

    let mut stage = stage;
    let (status, _) = stage.world.control.terminate(Duration::from_secs(60)).await?;
    assert!(status.success());
    flow.goes_on_for(A_WHILE).await?;
    let answers = flow.end().await?;

    let mut by_status: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in &answers {
        *by_status.entry(answer.status).or_default() += 1;
    }
    println!("{} requests: {by_status:?}", answers.len());
    assert!(answers.len() >= 3 * A_WHILE, "only {} requests", answers.len());
    assert_eq!(
        by_status.keys().copied().collect::<Vec<_>>(),
        [200],
        "{by_status:?}"
    );
    assert_eq!(stage.world.rejected_expired(), 0);
    Ok(())
}
