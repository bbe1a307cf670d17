//! Sets of names, as for the sessions of a user.

use std::sync::Arc;

use tokenward_control::store::{Key, Store};
use tokio::task::JoinSet;

use super::engine::Engine;
use super::{MINUTE, MOMENT, eventually};

/// Most names are digests. A name that looks like an encoded digest must be returned unchanged.
const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const LIKE_A_DIGEST: &str = "~AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn sorted(store: &dyn Store, set: &Key) -> anyhow::Result<Vec<String>> {
    let mut members = store.members(set).await?;
    members.sort();
    Ok(members)
}

pub(super) async fn an_unknown_set_is_empty(engine: &Engine) -> anyhow::Result<()> {
    let set = engine.key();
    engine.store.remove_member(&set, "absent").await?;
    assert_eq!(sorted(&*engine.store, &set).await?, [""; 0]);
    Ok(())
}

pub(super) async fn members_are_added_once_and_removed_once(engine: &Engine) -> anyhow::Result<()> {
    let (set, other) = (engine.key(), engine.key());
    for member in ["b", "a", "b", "", "é}\r\n", DIGEST, LIKE_A_DIGEST, "~"] {
        engine.store.add_member(&set, member, MINUTE).await?;
    }
    engine.store.add_member(&other, "elsewhere", MINUTE).await?;
    assert_eq!(
        sorted(&*engine.store, &set).await?,
        ["", DIGEST, "a", "b", "~", LIKE_A_DIGEST, "é}\r\n"]
    );
    for member in [
        "b",
        "b",
        "",
        "never there",
        "elsewhere",
        DIGEST,
        LIKE_A_DIGEST,
        "~",
    ] {
        engine.store.remove_member(&set, member).await?;
    }
    assert_eq!(sorted(&*engine.store, &set).await?, ["a", "é}\r\n"]);
    for member in ["a", "é}\r\n"] {
        engine.store.remove_member(&set, member).await?;
    }
    assert_eq!(sorted(&*engine.store, &set).await?, [""; 0]);
    assert_eq!(sorted(&*engine.store, &other).await?, ["elsewhere"]);
    Ok(())
}

pub(super) async fn a_set_lives_as_long_as_its_longest_lifetime(engine: &Engine) -> anyhow::Result<()> {
    let (lasting, lengthened, short) = (engine.key(), engine.key(), engine.key());
    engine.store.add_member(&lasting, "first", MINUTE).await?;
    engine.store.add_member(&lasting, "second", MOMENT).await?;
    engine.store.add_member(&lengthened, "first", MOMENT).await?;
    engine.store.add_member(&lengthened, "second", MINUTE).await?;
    engine.store.add_member(&short, "only", MOMENT).await?;
    engine.pass(MOMENT);
    eventually("the short-lived set is gone", || async {
        Ok(engine.store.members(&short).await?.is_empty())
    })
    .await?;
    assert_eq!(sorted(&*engine.store, &lasting).await?, ["first", "second"]);
    assert_eq!(sorted(&*engine.store, &lengthened).await?, ["first", "second"]);
    Ok(())
}

pub(super) async fn an_expired_set_is_empty_and_starts_again(engine: &Engine) -> anyhow::Result<()> {
    let set = engine.key();
    engine.store.add_member(&set, "old", MOMENT).await?;
    engine.pass(MOMENT);
    eventually("the set is gone", || async {
        Ok(engine.store.members(&set).await?.is_empty())
    })
    .await?;
    engine.store.add_member(&set, "new", MINUTE).await?;
    assert_eq!(sorted(&*engine.store, &set).await?, ["new"]);
    Ok(())
}

pub(super) async fn fifty_concurrent_additions_are_all_there(engine: &Engine) -> anyhow::Result<()> {
    let set = engine.key();
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let (store, set) = (Arc::clone(&engine.store), set.clone());
        tasks.spawn(async move { store.add_member(&set, &format!("session-{number}"), MINUTE).await });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    assert_eq!(engine.store.members(&set).await?.len(), 50);
    Ok(())
}
