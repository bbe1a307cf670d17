//! The lineage of a key: a different one whenever writes may have been lost.

use tokenward_control::store::valkey::ValkeyStore;
use tokenward_control::store::{Key, Store};
use tokenward_harness::parts::Valkey;
use tokio::time::Instant;

use super::engine::{Engine, config};
use super::topologies::Watched;
use super::{PATIENCE, eventually, put};
use crate::deployment::STORE_DEADLINE;

pub(super) async fn a_lineage_stays_the_same_while_nothing_is_lost(engine: &Engine) -> anyhow::Result<()> {
    let key = engine.key();
    let before = engine.store.lineage(&key).await?;
    assert!(before.is_some());
    put(&*engine.store, &key, b"value").await?;
    assert_eq!(engine.store.lineage(&key).await?, before);
    Ok(())
}

/// The lineage of `key` once the store answers.
async fn lineage_once_it_answers(store: &ValkeyStore, key: &Key) -> anyhow::Result<Option<String>> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match store.lineage(key).await {
            Ok(lineage) => return Ok(lineage.map(|lineage| lineage.0)),
            Err(error) => anyhow::ensure!(Instant::now() < limit, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_start_of_valkey_has_another_lineage() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let store = ValkeyStore::connect(config(valkey.url(), STORE_DEADLINE)).await?;
    let key = Key::new("test", "lineage");
    let mut seen = vec![lineage_once_it_answers(&store, &key).await?];
    for saved in [false, true] {
        if saved {
            assert_eq!(valkey.command(&["SAVE"]).await?, "+OK\r\n");
        }
        valkey.kill()?;
        valkey.restart().await?;
        let lineage = lineage_once_it_answers(&store, &key).await?;
        assert!(
            lineage.is_some() && !seen.contains(&lineage),
            "{lineage:?} of {seen:?}"
        );
        seen.push(lineage);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_has_another_lineage() -> anyhow::Result<()> {
    let mut watched = Watched::start().await?;
    watched.ready_to_fail_over().await?;
    let store = ValkeyStore::connect(watched.config(STORE_DEADLINE)).await?;
    let key = Key::new("test", "lineage");
    let before = lineage_once_it_answers(&store, &key).await?;
    watched.primary.kill()?;
    eventually("another lineage", || async {
        Ok(lineage_once_it_answers(&store, &key).await? != before)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission_for_info_there_is_no_lineage() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let store = ValkeyStore::connect(config(valkey.url(), STORE_DEADLINE)).await?;
    assert_eq!(
        valkey.command(&["ACL", "SETUSER", "default", "-info"]).await?,
        "+OK\r\n"
    );
    assert_eq!(store.lineage(&Key::new("test", "lineage")).await?, None);
    Ok(())
}
