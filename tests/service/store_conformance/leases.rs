//! Leases: which replica may refresh a grant now.

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::{Key, LeaseAnswer, Store};
use tokio::task::JoinSet;

use super::engine::Engine;
use super::{MINUTE, MOMENT, eventually, owner};

async fn acquires(store: &dyn Store, name: &Key, by: &str, lifetime: Duration) -> anyhow::Result<bool> {
    Ok(store.acquire_lease(name, &owner(by), lifetime).await? == LeaseAnswer::Acquired)
}

pub(super) async fn a_lease_has_one_holder(engine: &Engine) -> anyhow::Result<()> {
    let (name, other) = (engine.key(), engine.key());
    assert!(acquires(&*engine.store, &name, "a", MINUTE).await?);
    let LeaseAnswer::Held { remaining } = engine.store.acquire_lease(&name, &owner("b"), MINUTE).await?
    else {
        anyhow::bail!("b acquired a lease that a holds");
    };
    assert!(remaining > Duration::ZERO && remaining <= MINUTE, "{remaining:?}");
    assert!(acquires(&*engine.store, &other, "b", MINUTE).await?);
    Ok(())
}

pub(super) async fn a_lease_is_free_once_it_has_expired(engine: &Engine) -> anyhow::Result<()> {
    let name = engine.key();
    assert!(acquires(&*engine.store, &name, "a", MOMENT).await?);
    engine.pass(MOMENT);
    eventually("b takes the expired lease", || {
        acquires(&*engine.store, &name, "b", MINUTE)
    })
    .await?;
    assert!(!acquires(&*engine.store, &name, "a", MINUTE).await?);
    Ok(())
}

pub(super) async fn its_owner_renews_a_lease(engine: &Engine) -> anyhow::Result<()> {
    let (renewed, left) = (engine.key(), engine.key());
    for name in [&renewed, &left] {
        assert!(acquires(&*engine.store, name, "a", MOMENT).await?);
    }
    assert!(acquires(&*engine.store, &renewed, "a", MINUTE).await?);
    engine.pass(MOMENT);
    eventually("the lease that was not renewed is free", || {
        acquires(&*engine.store, &left, "b", MINUTE)
    })
    .await?;
    assert!(!acquires(&*engine.store, &renewed, "b", MINUTE).await?);
    Ok(())
}

pub(super) async fn only_its_owner_releases_a_lease(engine: &Engine) -> anyhow::Result<()> {
    let name = engine.key();
    assert!(!engine.store.release_lease(&name, &owner("a")).await?);
    assert!(acquires(&*engine.store, &name, "a", MINUTE).await?);
    assert!(!engine.store.release_lease(&name, &owner("b")).await?);
    assert!(!acquires(&*engine.store, &name, "b", MINUTE).await?);
    assert!(engine.store.release_lease(&name, &owner("a")).await?);
    assert!(!engine.store.release_lease(&name, &owner("a")).await?);
    assert!(acquires(&*engine.store, &name, "b", MINUTE).await?);
    Ok(())
}

pub(super) async fn a_lost_lease_is_not_taken_from_its_new_holder(engine: &Engine) -> anyhow::Result<()> {
    let name = engine.key();
    assert!(acquires(&*engine.store, &name, "a", MOMENT).await?);
    engine.pass(MOMENT);
    eventually("b takes over", || acquires(&*engine.store, &name, "b", MINUTE)).await?;
    assert!(!engine.store.release_lease(&name, &owner("a")).await?);
    assert!(!acquires(&*engine.store, &name, "c", MINUTE).await?);
    assert!(engine.store.release_lease(&name, &owner("b")).await?);
    Ok(())
}

pub(super) async fn of_fifty_concurrent_acquirers_exactly_one_succeeds(
    engine: &Engine,
) -> anyhow::Result<()> {
    let name = engine.key();
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let (store, name) = (Arc::clone(&engine.store), name.clone());
        tasks.spawn(async move { acquires(&*store, &name, &format!("owner-{number}"), MINUTE).await });
    }
    let mut acquired = 0;
    while let Some(result) = tasks.join_next().await {
        acquired += usize::from(result??);
    }
    assert_eq!(acquired, 1);
    Ok(())
}
