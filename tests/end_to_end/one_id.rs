//! The digest in a log line of the filter is the one that control knows: it leads from a WARN at the gateway to the user.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

const PATIENCE: Duration = Duration::from_secs(30);

/// The pair of the filter's one WARN.
async fn warned_pair(world: &World) -> anyhow::Result<String> {
    let line = world
        .envoy
        .wait_for_wasm_line(|line| line.message.contains("refused server="), PATIENCE)
        .await?;
    Ok(line.field("pair").context("a WARN names its pair")?.to_owned())
}

/// Control's explanation of `pair`, once it has recorded it: that is not part of any request.
async fn explained(world: &World, pair: &str) -> anyhow::Result<Value> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match world.explain_pair(pair).await {
            Ok(explained) if explained["pair"]["last_outcome"].is_string() => return Ok(explained),
            explained => ensure!(Instant::now() < limit, "not recorded: {explained:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ensure_leads_to_alice(world: &World, session: bool) -> anyhow::Result<()> {
    let pair = warned_pair(world).await?;
    let explained = explained(world, &pair).await?;
    assert_eq!(
        (&explained["pair"]["digest"], &explained["server"]["name"]),
        (&json!(pair), &json!(LOCAL)),
        "{explained}"
    );
    assert_eq!(explained["pair"]["user"]["email"], json!(ALICE), "{explained}");
    assert_eq!(
        explained["pair"]["last_outcome"],
        json!("needs_login"),
        "{explained}"
    );
    assert_eq!(explained["grant"]["state"], json!("needs_login"), "{explained}");
    assert_eq!(explained["session"].is_object(), session, "{explained}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pair_of_a_warning_leads_to_the_session_and_the_user() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    let answers = world.call(LOCAL).login(&alice).send_many(3).await?;
    assert!(answers.iter().all(|answer| answer.status == 401));
    ensure_leads_to_alice(&world, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_the_pair_of_requests_that_name_no_session() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    let answers = world
        .call(LOCAL)
        .bearer(&alice.tokens.id_token)
        .send_many(3)
        .await?;
    assert!(answers.iter().all(|answer| answer.status == 401));
    ensure_leads_to_alice(&world, false).await
}
