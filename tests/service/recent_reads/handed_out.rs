//! What a burst of requests for one token costs the store, and what still asks it.

use std::sync::Arc;

use serde_json::json;
use tokenward_control::store::Store;
use tokenward_control::store::recent::{ENTRY_LIFETIME, PROOF_LIFETIME};
use tokenward_harness::parts::{Metrics, Valkey};
use tokenward_protocol::token_endpoint::Reason;
use tokio::time::{Instant, sleep};

use super::{PATIENCE, store_at, without_holding};
use crate::deployment::{Deployment, Plan};

async fn on(store: Arc<dyn Store>) -> anyhow::Result<Deployment> {
    Deployment::start(Plan {
        engine: Some(store),
        ..Plan::default()
    })
    .await
}

fn recent_reads(deployment: &Deployment) -> u64 {
    let exposition = deployment.service(0).service().metrics().exposition();
    Metrics::read(&exposition).count("tokenward_store_recent_reads_total", &[])
}

/// Sends a request until it was answered without a read of its grant.
async fn ask_until_recent(deployment: &Deployment, token: &str, session: Option<&str>) -> anyhow::Result<()> {
    let (limit, before) = (Instant::now() + PATIENCE, recent_reads(deployment));
    loop {
        let ask = deployment.ask(token);
        let ask = session.map_or(ask.clone(), |session| ask.session(session));
        assert_eq!(ask.send().await?.status, 200);
        let reads = deployment.store().grant_reads();
        assert_eq!(ask.send().await?.status, 200);
        if deployment.store().grant_reads() == reads {
            let records = if session.is_some() { 2 } else { 1 };
            assert!(recent_reads(deployment) >= before + records);
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < limit, "each request reads the store");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_token_again_costs_no_read_with_a_session_and_without() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let deployment = on(store_at(valkey.url()).await?).await?;
    let tokens = deployment.log_in("s-1").await?;
    ask_until_recent(&deployment, &tokens.id_token, None).await?;
    ask_until_recent(&deployment, &tokens.id_token, Some("s-1")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_token_a_stale_one_and_one_that_was_read_long_ago_are_for_the_store() -> anyhow::Result<()>
{
    let valkey = Valkey::start().await?;
    let deployment = on(store_at(valkey.url()).await?).await?;
    let tokens = deployment.log_in("s-1").await?;
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    // Longer than `rejected_interval` after the login.
    deployment.advance(31);
    ask_until_recent(&deployment, &tokens.id_token, Some("s-1")).await?;
    let reads = deployment.store().grant_reads();
    let rejected = ask.clone().reason(Reason::Rejected).send().await?;
    assert_eq!(rejected.status, 200);
    assert!(deployment.store().grant_reads() > reads);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    // Stale: one refresh, and what it stored is handed out.
    deployment.advance(301);
    let first = ask.send().await?;
    assert_eq!(first.status, 200);
    assert_eq!(ask.send().await?.token(), first.token());
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    ask_until_recent(&deployment, &tokens.id_token, Some("s-1")).await?;
    sleep(ENTRY_LIFETIME + PROOF_LIFETIME).await;
    let reads = deployment.store().grant_reads();
    assert_eq!(ask.send().await?.token(), first.token());
    assert_eq!(deployment.store().grant_reads(), reads + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_client_side_caching_each_request_reads_and_an_end_waits_for_nothing() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let store = without_holding(valkey.url()).await?;
    assert!(store.recent_lifetime().is_zero());
    let deployment = on(store).await?;
    let tokens = deployment.log_in("s-1").await?;
    for asked in 1..=20 {
        let reads = deployment.store().grant_reads();
        assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
        assert_eq!(deployment.store().grant_reads(), reads + 1, "request {asked}");
    }
    assert_eq!(recent_reads(&deployment), 0);
    Ok(())
}

#[tokio::test]
async fn the_setting_is_part_of_the_configuration_and_on_by_itself() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    for (valkey, expected) in [
        (json!({"url": "redis://127.0.0.1:1/0"}), true),
        (
            json!({"url": "redis://127.0.0.1:1/0", "client_side_caching": false}),
            false,
        ),
    ] {
        let config = deployment.changed(|document| document["store"] = json!({"valkey": valkey}))?;
        let tokenward_control::config::StoreEngine::Valkey {
            client_side_caching, ..
        } = config.store.engine
        else {
            anyhow::bail!("not a Valkey")
        };
        assert_eq!(client_side_caching, expected);
    }
    Ok(())
}
