//! Records that this version would not have written: a distinct error, never "absent" and never a guess.

use std::sync::Arc;

use tokenward_control::store::valkey::ValkeyStore;
use tokenward_control::store::{Expected, Key, Revision, Store, StoreError, WriteOutcome};
use tokenward_harness::parts::Valkey;

use super::engine::{LONG_DEADLINE, config};
use super::{MINUTE, owner};

async fn with_records(commands: &[&[&str]]) -> anyhow::Result<(Valkey, Arc<dyn Store>)> {
    let valkey = Valkey::start().await?;
    for command in commands {
        let reply = valkey.command(command).await?;
        anyhow::ensure!(!reply.starts_with('-'), "{command:?}: {reply}");
    }
    let store = ValkeyStore::connect(config(valkey.url(), LONG_DEADLINE)).await?;
    Ok((valkey, Arc::new(store)))
}

fn is_unexpected<T: std::fmt::Debug>(answer: Result<T, StoreError>, key: &Key) -> usize {
    match answer {
        Err(StoreError::Unexpected { key: at, what }) => {
            assert_eq!(&at, key);
            assert!(!what.is_empty() && !what.contains("secret-bytes"), "{what}");
            1
        }
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn malformed_values_are_unexpected_and_not_modified() -> anyhow::Result<()> {
    let (valkey, store) = with_records(&[
        &["SET", "tokenward:{bad:nothing}", ""],
        &["SET", "tokenward:{bad:short}", "secret"],
        &["SET", "tokenward:{bad:revision}", "secret-bytes"],
        // The layout before the first release.
        &["HSET", "tokenward:{bad:first}", "r", "7", "v", "secret-bytes"],
    ])
    .await?;
    let mut seen = 0;
    for name in ["nothing", "short", "revision", "first"] {
        let key = Key::new("bad", name);
        seen += is_unexpected(store.read(&key).await, &key);
        for expected in [Expected::Any, Expected::Absent] {
            seen += is_unexpected(store.write(&key, expected, b"new", Some(MINUTE)).await, &key);
        }
    }
    assert_eq!(seen, 12);
    assert_eq!(
        valkey.command(&["HLEN", "tokenward:{bad:first}"]).await?,
        ":2\r\n"
    );
    assert_eq!(
        valkey.command(&["STRLEN", "tokenward:{bad:revision}"]).await?,
        ":12\r\n"
    );
    Ok(())
}

#[tokio::test]
async fn a_malformed_value_can_be_deleted_so_that_a_login_can_replace_it() -> anyhow::Result<()> {
    let (_valkey, store) = with_records(&[
        &["SET", "tokenward:{bad:revision}", "secret-bytes"],
        &["HSET", "tokenward:{bad:first}", "r", "7", "v", "secret-bytes"],
    ])
    .await?;
    for name in ["revision", "first"] {
        let key = Key::new("bad", name);
        is_unexpected(store.read(&key).await, &key);
        assert_eq!(
            store.delete(&key, Expected::Any).await?,
            WriteOutcome::Done(Revision(0))
        );
        assert_eq!(store.read(&key).await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn foreign_types_under_sets_and_leases_are_unexpected() -> anyhow::Result<()> {
    let (_valkey, store) = with_records(&[
        &["SET", "tokenward:{bad/set}", "secret-bytes"],
        &["SADD", "tokenward:{bad!lease}", "secret-bytes"],
        &["SET", "tokenward:{bad!eternal}", "another owner"],
    ])
    .await?;
    let (set, lease, eternal) = (
        Key::new("bad", "set"),
        Key::new("bad", "lease"),
        Key::new("bad", "eternal"),
    );
    let mut seen = is_unexpected(store.members(&set).await, &set);
    seen += is_unexpected(store.add_member(&set, "a", MINUTE).await, &set);
    seen += is_unexpected(store.remove_member(&set, "a").await, &set);
    for name in [&lease, &eternal] {
        seen += is_unexpected(store.acquire_lease(name, &owner("a"), MINUTE).await, name);
    }
    seen += is_unexpected(store.release_lease(&lease, &owner("a")).await, &lease);
    assert_eq!(seen, 6);
    Ok(())
}

#[tokio::test]
async fn every_key_carries_the_prefix_a_hash_tag_and_a_lifetime() -> anyhow::Result<()> {
    let (valkey, store) = with_records(&[]).await?;
    let key = Key::new("grant", "abc");
    store.write(&key, Expected::Any, b"value", Some(MINUTE)).await?;
    store.add_member(&key, "member", MINUTE).await?;
    store.acquire_lease(&key, &owner("a"), MINUTE).await?;
    assert_eq!(valkey.command(&["DBSIZE"]).await?, ":3\r\n");
    for name in ["tokenward:{g:abc}", "tokenward:{g/abc}", "tokenward:{g!abc}"] {
        let left = valkey.command(&["PTTL", name]).await?;
        let left_ms: i64 = left.trim_start_matches(':').trim().parse()?;
        assert!((1..=60_000).contains(&left_ms), "{name}: {left_ms}");
    }
    Ok(())
}
