//! The gauges of sessions and grants: counted in the background, once for all replicas.

use std::time::Duration;

use tokenward_harness::issuer::{DexConfig, DexUser};
use tokenward_harness::parts::Metrics;

use crate::deployment::{Deployment, Plan};

const CAROL: &str = "carol@example.com";
const DAVE: &str = "dave@example.com";

async fn of_replica(deployment: &Deployment, replica: usize) -> anyhow::Result<Metrics> {
    let url = format!("{}/metrics", deployment.urls[replica]);
    let text = deployment.http.get(url).send().await?.text().await?;
    Ok(Metrics::read(&text))
}

/// Sessions that are usable and that need a login; grants that are active, dead and signed out.
fn counts(metrics: &Metrics) -> [u64; 5] {
    let sessions = |state| metrics.count("tokenward_sessions", &[("state", state)]);
    let grants = |state| metrics.count("tokenward_grants", &[("state", state)]);
    [
        sessions("usable"),
        sessions("needs_login"),
        grants("active"),
        grants("dead"),
        grants("signed_out"),
    ]
}

fn has_counts(metrics: &Metrics) -> bool {
    let mut samples = metrics.samples().iter();
    samples.any(|sample| sample.name == "tokenward_sessions")
}

async fn with_three_users(valkey: bool, replicas: usize) -> anyhow::Result<Deployment> {
    let dex = DexConfig::default()
        .id_token_lifetime(Duration::from_secs(300))
        .user(DexUser::new(CAROL))
        .user(DexUser::new(DAVE));
    Deployment::start(Plan {
        dex,
        valkey,
        replicas,
        ..Plan::default()
    })
    .await
}

async fn counts_sessions_and_grants_by_state(valkey: bool) -> anyhow::Result<()> {
    let deployment = with_three_users(valkey, 2).await?;
    assert!(!has_counts(&of_replica(&deployment, 0).await?), "none is made up");
    deployment.log_in("s-1").await?;
    deployment.log_in("s-2").await?;
    let carol = deployment.log_in_as("s-3", CAROL).await?;
    deployment.log_in_as("s-4", DAVE).await?;
    deployment.end("s-4").await?;
    deployment.dex.revoke(CAROL, "muster");
    deployment.advance(301);
    let refused = deployment.ask(&carol.id_token).session("s-3").send().await?;
    assert_eq!(refused.refusal(), (400, "needs_login"));

    assert!(deployment.service(0).service().census().update().await);
    let seen = of_replica(&deployment, 0).await?;
    assert_eq!(counts(&seen), [2, 1, 1, 1, 1]);
    let at_seconds = seen.count("tokenward_records_counted_timestamp_seconds", &[]);
    assert_eq!(i64::try_from(at_seconds)?, deployment.clock().now_ms() / 1000);
    Ok(())
}

#[tokio::test]
async fn sessions_and_grants_are_counted_by_state_in_the_embedded_store() -> anyhow::Result<()> {
    counts_sessions_and_grants_by_state(false).await
}

#[tokio::test]
async fn sessions_and_grants_are_counted_by_state_in_valkey() -> anyhow::Result<()> {
    counts_sessions_and_grants_by_state(true).await
}

#[tokio::test]
async fn one_replica_counts_and_the_others_show_the_same_numbers() -> anyhow::Result<()> {
    let deployment = with_three_users(false, 2).await?;
    deployment.log_in("s-1").await?;
    for replica in [0, 1] {
        assert!(deployment.service(replica).service().census().update().await);
    }
    let listed = |metrics: &Metrics| {
        metrics.count(
            "tokenward_store_operation_seconds_count",
            &[("operation", "list")],
        )
    };
    let (first, second) = (
        of_replica(&deployment, 0).await?,
        of_replica(&deployment, 1).await?,
    );
    assert_eq!(counts(&first), [1, 0, 1, 0, 0]);
    assert_eq!(counts(&second), counts(&first));
    assert_eq!((listed(&first), listed(&second)), (2, 0));

    // A new login shows when the next count is due.
    deployment.log_in_as("s-2", CAROL).await?;
    assert!(deployment.service(1).service().census().update().await);
    assert_eq!(counts(&of_replica(&deployment, 1).await?), [1, 0, 1, 0, 0]);
    deployment.advance(241);
    assert!(deployment.service(1).service().census().update().await);
    assert_eq!(counts(&of_replica(&deployment, 1).await?), [2, 0, 2, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn what_the_store_does_not_answer_is_not_shown() -> anyhow::Result<()> {
    let deployment = with_three_users(false, 1).await?;
    deployment.log_in("s-1").await?;
    let census = deployment.service(0).service().census();
    assert!(census.update().await);
    assert!(has_counts(&of_replica(&deployment, 0).await?));
    deployment.store().set_off(true);
    assert!(!census.update().await);
    assert!(!has_counts(&of_replica(&deployment, 0).await?));
    deployment.store().set_off(false);
    assert!(census.update().await);
    assert_eq!(counts(&of_replica(&deployment, 0).await?), [1, 0, 1, 0, 0]);
    Ok(())
}

/// The process counts from its start.
#[tokio::test]
async fn a_running_control_counts_by_itself() -> anyhow::Result<()> {
    let deployment = Deployment::start_processes(Plan::of_one_process()).await?;
    let control = &deployment.replicas.controls[0];
    let begun = std::time::Instant::now();
    loop {
        let metrics = control.metrics().await?;
        if has_counts(&metrics) {
            assert_eq!(counts(&metrics), [0; 5]);
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(30), "no count");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
