//! The same behind Sentinel and on a Cluster: the documented ACL is enough there, and what is refused is named.

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_control::store::{Store as _, self_test};
use tokenward_harness::parts::Valkey;

use super::acl::{LIST, documented};
use super::{as_user, expect_ok, set_user};
use crate::deployment::patient_valkey_config;
use crate::store_conformance::topologies::{Cluster, Watched};
use crate::store_conformance::{eventually, every_behaviour_of};

async fn allow(valkey: &Valkey, more: &[&str]) -> anyhow::Result<()> {
    let rules = documented()?;
    let rules: Vec<&str> = rules
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    set_user(valkey, &rules).await
}

/// The error and fix of the first operation of a trial that `store` refuses.
async fn refused(store: &ValkeyStore) -> (String, &'static str) {
    match self_test::run(store).await {
        Ok(()) => ("nothing was refused".to_owned(), ""),
        Err(error) => (error.cause(), error.hint()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_acl_is_enough_behind_sentinel_and_a_primary_that_refuses_is_named()
-> anyhow::Result<()> {
    let watched = Watched::start().await?;
    for server in [&watched.primary, &watched.replica] {
        allow(server, &["+role", LIST]).await?;
    }
    let config = as_user(watched.config(Duration::from_secs(30)));
    let store = Arc::new(ValkeyStore::connect(config).await?);
    assert!(every_behaviour_of(store.clone()).await? > 0);
    expect_ok(&watched.primary, &["CONFIG", "SET", "maxmemory", "1"]).await?;
    let (cause, cure) = refused(&store).await;
    assert!(cause.contains("(OOM)") && cure.contains("maxmemory"), "{cause}");
    expect_ok(&watched.primary, &["CONFIG", "SET", "maxmemory", "0"]).await?;
    self_test::run(store.as_ref()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_acl_is_enough_on_a_cluster_and_what_a_node_refuses_is_named() -> anyhow::Result<()> {
    let cluster = Cluster::of(3, false).await?;
    for node in &cluster.primaries {
        allow(node, &["+cluster|slots", LIST]).await?;
    }
    let config = ValkeyConfig {
        topology: cluster.topology(),
        ..as_user(patient_valkey_config(cluster.url()))
    };
    let store = Arc::new(ValkeyStore::connect(config).await?);
    assert!(every_behaviour_of(store.clone()).await? > 0);
    for node in &cluster.primaries {
        expect_ok(node, &["ACL", "SETUSER", super::USER, "-scan"]).await?;
    }
    let error = store.list("grant", None, 10).await.expect_err("scan is denied");
    assert!(error.cause().contains("the command scan (NOPERM)"), "{error}");
    for node in &cluster.primaries {
        expect_ok(node, &["ACL", "SETUSER", super::USER, "-time"]).await?;
    }
    let (cause, cure) = refused(&store).await;
    assert!(
        cause.contains("the command time (NOPERM)") && cure.contains("docs/configuration.md"),
        "{cause}"
    );
    for node in &cluster.primaries {
        expect_ok(node, &["ACL", "SETUSER", super::USER, "+time"]).await?;
        expect_ok(node, &["CONFIG", "SET", "maxmemory", "1"]).await?;
    }
    let (cause, _) = refused(&store).await;
    assert!(cause.contains("(OOM)"), "{cause}");
    for node in &cluster.primaries {
        expect_ok(node, &["CONFIG", "SET", "maxmemory", "0"]).await?;
    }
    self_test::run(store.as_ref()).await?;

    Ok(())
}

/// The client looks for the missing slots until the deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_lacks_a_primary_is_not_ready_and_names_that() -> anyhow::Result<()> {
    let mut cluster = Cluster::of(3, false).await?;
    for node in &cluster.primaries {
        allow(node, &["+cluster|slots"]).await?;
    }
    let config = ValkeyConfig {
        topology: cluster.topology(),
        deadline: Duration::from_secs(5),
        ..as_user(patient_valkey_config(cluster.url()))
    };
    let store = ValkeyStore::connect(config).await?;
    self_test::run(&store).await?;
    cluster.primaries[2].kill()?;
    eventually("the cluster is down", || async {
        let reply = cluster.primaries[0].command(&["GET", "a"]).await?;
        Ok(reply.contains("CLUSTERDOWN"))
    })
    .await?;
    let (cause, cure) = refused(&store).await;
    assert!(
        cause.contains("(CLUSTERDOWN)") || cause.contains("did not answer within 5000 ms"),
        "{cause}"
    );
    assert!(!cure.is_empty());
    Ok(())
}
