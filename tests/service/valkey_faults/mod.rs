//! Control with a real Valkey, and the faults that can happen to it.

mod failover;
mod outage;
mod rollback;
mod slow;

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_harness::issuer::DexConfig;
use tokenward_harness::parts::Valkey;
use tokio::time::{Instant, sleep};

use crate::deployment::{Answer, Deployment, Plan, patient_valkey_config};

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A deployment whose store is `valkey`, and a Dex with tokens of five minutes.
async fn on(valkey: &Valkey, policy: &'static str, reuse_interval: Duration) -> anyhow::Result<Deployment> {
    on_store(patient_valkey_config(valkey.url()), policy, reuse_interval).await
}

async fn on_store(
    config: ValkeyConfig,
    policy: &'static str,
    reuse_interval: Duration,
) -> anyhow::Result<Deployment> {
    let store = ValkeyStore::connect(config).await?;
    Deployment::start(Plan {
        dex: DexConfig::default()
            .id_token_lifetime(Duration::from_secs(300))
            .reuse_interval(reuse_interval),
        policy,
        engine: Some(Arc::new(store)),
        ..Plan::default()
    })
    .await
}

/// Saves a snapshot, which Valkey loads at its next start.
async fn save(valkey: &Valkey) -> anyhow::Result<()> {
    let reply = valkey.command(&["SAVE"]).await?;
    anyhow::ensure!(reply == "+OK\r\n", "SAVE: {reply}");
    Ok(())
}

/// Expires all leases at once: a snapshot also contains the leases of replicas that were working.
async fn let_leases_expire(valkey: &Valkey) -> anyhow::Result<()> {
    const EXPIRE: &str =
        "for _, key in ipairs(redis.call('KEYS', '*{lease:*!*')) do redis.call('DEL', key) end return 1";
    let reply = valkey.command(&["EVAL", EXPIRE, "0"]).await?;
    anyhow::ensure!(reply == ":1\r\n", "EVAL: {reply}");
    Ok(())
}

/// Waits until control's store answers.
async fn recovered(deployment: &Deployment) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    while deployment.get("/readyz").await?.status != 200 {
        anyhow::ensure!(
            Instant::now() < limit,
            "the store does not answer within {PATIENCE:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Asserts a 503 with `Retry-After`.
fn assert_retry_later(answer: &Answer, what: &str) {
    assert_eq!(answer.refusal(), (503, "store_unavailable"), "{what}: {answer:?}");
    let seconds = answer
        .header("retry-after")
        .and_then(|text| text.parse::<u64>().ok());
    assert!(
        seconds.is_some_and(|seconds| (1..=60).contains(&seconds)),
        "{what}: {answer:?}"
    );
}
