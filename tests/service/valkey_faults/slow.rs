//! A slow Valkey.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_harness::issuer::DexConfig;
use tokenward_harness::parts::{Detour, Valkey};
use tokio::time::Instant;

use super::{PATIENCE, assert_retry_later, recovered};
use crate::deployment::{Deployment, Plan, STORE_DEADLINE, at_once, valkey_config};

const SLOW: Duration = Duration::from_secs(2);
/// The default of `caller_deadline`.
const CALLER_DEADLINE: Duration = Duration::from_secs(4);
/// The longest allowed value, in whole seconds.
const MAX_CALLER_DEADLINE: Duration = Duration::from_secs(59);
/// A stalled machine can make one round late, but not every round.
const ROUNDS: usize = 4;

struct Slow {
    deployment: Deployment,
    detour: Detour,
    _valkey: Valkey,
}

impl Slow {
    async fn with_deadlines(deadline: Duration, caller_deadline: Duration) -> anyhow::Result<Self> {
        let valkey = Valkey::start_on_a_port(&[]).await?;
        let detour = Detour::to(valkey.port().unwrap_or_default()).await?;
        let store = ValkeyStore::connect(ValkeyConfig {
            deadline,
            ..valkey_config(detour.valkey_url())
        })
        .await?;
        let deployment = Deployment::start(Plan {
            dex: DexConfig::default().id_token_lifetime(Duration::from_secs(300)),
            engine: Some(Arc::new(store)),
            settings: json!({"caller_deadline": format!("{}s", caller_deadline.as_secs())}),
            ..Plan::default()
        })
        .await?;
        Ok(Self {
            deployment,
            detour,
            _valkey: valkey,
        })
    }
}

#[tokio::test]
async fn two_seconds_late_at_the_default_deadline_is_503_in_time_and_loses_nothing() -> anyhow::Result<()> {
    let slow = Slow::with_deadlines(STORE_DEADLINE, CALLER_DEADLINE).await?;
    let deployment = &slow.deployment;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    slow.detour.set_delay(SLOW + Duration::from_millis(100));
    let asks: Vec<_> = (0..20)
        .map(|_| deployment.ask(&tokens.id_token).session("s-1"))
        .collect();
    let mut rounds = Vec::new();
    // One deadline for all operations together, doubled to leave room for a busy machine.
    while rounds.last().is_none_or(|took| *took >= STORE_DEADLINE * 2) {
        assert!(rounds.len() < ROUNDS, "{rounds:?}");
        let begun = Instant::now();
        for answer in at_once(asks.iter().map(|ask| ask.send())).await {
            assert_retry_later(&answer?, "slow");
        }
        rounds.push(begun.elapsed());
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    slow.detour.set_delay(Duration::ZERO);
    recovered(deployment).await?;
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_caller_waits_no_longer_than_its_deadline_however_many_slow_operations_there_are()
-> anyhow::Result<()> {
    // Each operation is in time; together they are not.
    let slow = Slow::with_deadlines(SLOW * 2, CALLER_DEADLINE).await?;
    let deployment = &slow.deployment;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    slow.detour.set_delay(SLOW);
    let begun = Instant::now();
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    let waited = begun.elapsed();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    // All operations together take longer than this.
    assert!(waited < CALLER_DEADLINE * 2, "{waited:?}");
    // The requested refresh continues without the caller, once.
    slow.detour.set_delay(Duration::ZERO);
    assert!(deployment.service(0).drain(PATIENCE).await);
    let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn late_but_in_time_is_served_with_one_refresh() -> anyhow::Result<()> {
    let slow = Slow::with_deadlines(PATIENCE, MAX_CALLER_DEADLINE).await?;
    let deployment = &slow.deployment;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    slow.detour.set_delay(Duration::from_millis(200));
    let asks: Vec<_> = (0..20)
        .map(|_| deployment.ask(&tokens.id_token).session("s-1"))
        .collect();
    for answer in at_once(asks.iter().map(|ask| ask.send())).await {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}
