//! The primary dies under load, behind Sentinel and in a Cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_harness::issuer::{DexConfig, DexUser};
use tokenward_harness::parts::Valkey;
use tokio::time::{Instant, sleep};

use super::PATIENCE;
use crate::deployment::{Deployment, Plan, STORE_DEADLINE, at_once, valkey_config};
use crate::store_conformance::topologies::{Cluster, Watched};

const USERS: usize = 24;
/// How many times the deployment's clock moves five seconds after the failover, at the least.
const STEPS: usize = 20;
/// The same at the most, on a machine where callers are slow: no refreshed token gets stale meanwhile.
const MOST_STEPS: usize = 32;

fn email(user: usize) -> String {
    format!("user-{user}@example.com")
}

async fn with_many_users(config: ValkeyConfig) -> anyhow::Result<Deployment> {
    let store = ValkeyStore::connect(config).await?;
    let dex = DexConfig::default().id_token_lifetime(Duration::from_secs(300));
    Deployment::start(Plan {
        dex: (0..USERS).fold(dex, |dex, user| dex.user(DexUser::new(&email(user)))),
        policy: "strict",
        engine: Some(Arc::new(store)),
        ..Plan::default()
    })
    .await
}

/// The answers to one user's repeated calls.
#[derive(Debug, Default)]
struct Tally {
    served: AtomicUsize,
    refused: AtomicUsize,
}

/// Repeats the call until `over`, then until served; only 200, and 503 with `Retry-After`, may ever be answered.
async fn call_repeatedly(
    deployment: &Deployment,
    session: &str,
    token: &str,
    over: &AtomicBool,
    tally: &Tally,
) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE * 2;
    loop {
        let last = over.load(Ordering::SeqCst);
        let answer = deployment.ask(token).session(session).send().await?;
        if answer.status == 200 {
            tally.served.fetch_add(1, Ordering::SeqCst);
            if last {
                return Ok(());
            }
        } else {
            anyhow::ensure!(
                answer.status == 503 && answer.header("retry-after").is_some(),
                "{answer:?}"
            );
            tally.refused.fetch_add(1, Ordering::SeqCst);
        }
        anyhow::ensure!(Instant::now() < limit, "not served again: {answer:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Calls until served, with five seconds between two calls by the deployment's clock: where the store did not answer an
/// announcement in time, the next presentation waits until that one is certainly over.
async fn call_until_served(deployment: &Deployment, session: &str, token: &str) -> anyhow::Result<()> {
    for _ in 0..MOST_STEPS {
        let answer = deployment.ask(token).session(session).send().await?;
        if answer.status == 200 {
            return Ok(());
        }
        anyhow::ensure!(
            answer.status == 503 && answer.header("retry-after").is_some(),
            "{answer:?}"
        );
        deployment.advance(5);
    }
    anyhow::bail!("{session} was not served again")
}

/// Every user calls before, during and after `failover`; each login is refreshed once before and once after.
async fn no_login_is_lost<F: Future<Output = anyhow::Result<()>>>(
    deployment: &Deployment,
    failover: impl FnOnce() -> F,
) -> anyhow::Result<()> {
    let mut logins = Vec::new();
    for user in 0..USERS {
        let session = format!("s-{user}");
        let tokens = deployment.log_in_as(&session, &email(user)).await?;
        logins.push((session, tokens.id_token));
    }
    deployment.advance(301);
    let (over, tally) = (AtomicBool::new(false), Tally::default());
    let asking = logins
        .iter()
        .map(|(session, token)| call_repeatedly(deployment, session, token, &over, &tally));
    let (asked, failed_over) = tokio::join!(at_once(asking), async {
        let reached = async {
            // Half of the refreshes are done: the others are under way or yet to come.
            while deployment.dex.counts().refreshes_presented < USERS / 2 {
                sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await?;
        let result = failover().await;
        // What was announced before it has its time; then control queries Dex.
        let (limit, mut steps) = (Instant::now() + PATIENCE, 0);
        while steps < STEPS || deployment.dex.counts().refreshes_succeeded < USERS {
            anyhow::ensure!(Instant::now() < limit, "not every login was refreshed");
            sleep(Duration::from_millis(200)).await;
            if steps < MOST_STEPS {
                deployment.advance(5);
                steps += 1;
            }
        }
        over.store(true, Ordering::SeqCst);
        result
    });
    failed_over?;
    asked.into_iter().collect::<anyhow::Result<()>>()?;
    // Whether a caller is refused meanwhile is up to the failover: one that is over within the store's deadline is not seen.
    println!("{tally:?}");
    let counts = deployment.dex.counts();
    assert_eq!(
        (counts.refreshes_presented, counts.refreshes_succeeded),
        (USERS, USERS)
    );
    deployment.advance(301);
    for (session, token) in &logins {
        call_until_served(deployment, session, token).await?;
    }
    let counts = deployment.dex.counts();
    assert_eq!(
        (counts.refreshes_presented, counts.refreshes_succeeded),
        (USERS * 2, USERS * 2)
    );
    Ok(())
}

async fn promoted(replica: &Valkey) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    while !replica.command(&["ROLE"]).await?.contains("master") {
        anyhow::ensure!(Instant::now() < limit, "the replica was not promoted");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinel_no_user_is_signed_out_when_the_primary_dies_under_load() -> anyhow::Result<()> {
    let mut watched = Watched::start().await?;
    watched.ready_to_fail_over().await?;
    let deployment = with_many_users(watched.config(STORE_DEADLINE)).await?;
    no_login_is_lost(&deployment, || async {
        watched.ready_to_fail_over().await?;
        watched.primary.kill()?;
        promoted(&watched.replica).await?;
        super::recovered(&deployment).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_no_user_is_signed_out_when_a_primary_dies_under_load() -> anyhow::Result<()> {
    let mut cluster = Cluster::of(3, true).await?;
    let config = ValkeyConfig {
        topology: cluster.topology(),
        ..valkey_config(cluster.url())
    };
    let deployment = with_many_users(config).await?;
    no_login_is_lost(&deployment, || async {
        let Some(replica) = &cluster.replica else {
            anyhow::bail!("no replica");
        };
        // Replication is asynchronous: a login that was not copied yet would rightly be unknown afterwards.
        replica.catches_up_with(&cluster.primaries[0], PATIENCE).await?;
        cluster.primaries[0].kill()?;
        promoted(replica).await
    })
    .await
}
