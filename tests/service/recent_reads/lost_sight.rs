//! A store that does not see the changes of another, because its connection is slow, frozen or cut, uses nothing any more by the
//! time that the other's writer may answer.

use std::time::Duration;

use tokenward_control::store::recent::PROOF_LIFETIME;
use tokenward_control::store::{Expected, Store};
use tokenward_harness::parts::{Detour, Valkey};
use tokio::time::{Instant, sleep};

use super::{Busy, PATIENCE, grant, hold, recent, store_at, write};

/// Far longer than an operation may take.
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_another_store_ends_the_entry_while_the_connection_is_alive() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let (one, other) = (store_at(valkey.url()).await?, store_at(valkey.url()).await?);
    for round in 0..50_u8 {
        write(one.as_ref(), "alice", &[round]).await?;
        assert_eq!(hold(other.as_ref(), "alice").await?, [round]);
        let _busy = Busy::on(&other);
        write(one.as_ref(), "alice", b"changed").await?;
        sleep(PROOF_LIFETIME).await;
        // Not because nothing is known of the connection: what did not change is still used.
        assert_ne!(recent(other.as_ref(), "alice"), Some(vec![round]));
        assert_eq!(hold(other.as_ref(), "alice").await?, b"changed");
        one.delete(&grant("alice"), Expected::Any).await?;
        sleep(PROOF_LIFETIME).await;
        assert_eq!(recent(other.as_ref(), "alice"), None);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_its_own_is_seen_before_it_is_acknowledged() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let store = store_at(valkey.url()).await?;
    let _busy = Busy::on(&store);
    for round in 0..200_u8 {
        write(store.as_ref(), "alice", &[round]).await?;
        assert!(recent(store.as_ref(), "alice").is_none_or(|value| value == [round]));
        assert_eq!(hold(store.as_ref(), "alice").await?, [round]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_race_with_writes_leave_no_old_value_behind() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let (one, other) = (store_at(valkey.url()).await?, store_at(valkey.url()).await?);
    write(one.as_ref(), "alice", b"0").await?;
    let reader = {
        let other = other.clone();
        tokio::spawn(async move { while other.read_and_hold(&grant("alice")).await.is_ok() {} })
    };
    for round in 0..100_u32 {
        let value = round.to_string();
        write(one.as_ref(), "alice", value.as_bytes()).await?;
        sleep(PROOF_LIFETIME).await;
        if let Some(held) = recent(other.as_ref(), "alice") {
            assert_eq!(held, value.as_bytes());
        }
    }
    reader.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_do_not_arrive_end_every_entry_in_time() -> anyhow::Result<()> {
    let valkey = Valkey::start_on_a_port(&[]).await?;
    let detour = Detour::to(valkey.port().unwrap_or_default()).await?;
    let (one, other) = (
        store_at(valkey.url()).await?,
        store_at(detour.valkey_url()).await?,
    );
    write(one.as_ref(), "alice", b"old").await?;
    assert_eq!(hold(other.as_ref(), "alice").await?, b"old");
    detour.set_delay(NEVER);
    write(one.as_ref(), "alice", b"new").await?;
    sleep(PROOF_LIFETIME).await;
    assert_eq!(recent(other.as_ref(), "alice"), None);
    // An operation that is not answered voids all of it, and the next connection begins with nothing.
    assert!(other.read(&grant("alice")).await.is_err());
    detour.set_delay(Duration::ZERO);
    assert_eq!(reconnected(other.as_ref()).await?, b"new");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_not_hidden() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let store = store_at(valkey.url()).await?;
    write(store.as_ref(), "alice", b"old").await?;
    assert_eq!(hold(store.as_ref(), "alice").await?, b"old");
    valkey.pause()?;
    sleep(PROOF_LIFETIME).await;
    assert_eq!(recent(store.as_ref(), "alice"), None);
    assert!(store.read_and_hold(&grant("alice")).await.is_err());
    assert_eq!(recent(store.as_ref(), "alice"), None);
    valkey.resume()?;
    assert_eq!(reconnected(store.as_ref()).await?, b"old");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_ends_every_entry_and_a_new_one_begins_with_none() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let store = store_at(valkey.url()).await?;
    write(store.as_ref(), "alice", b"old").await?;
    assert_eq!(hold(store.as_ref(), "alice").await?, b"old");
    valkey.kill()?;
    let limit = Instant::now() + PROOF_LIFETIME;
    while recent(store.as_ref(), "alice").is_some() {
        assert!(Instant::now() < limit + PROOF_LIFETIME);
        sleep(Duration::from_millis(1)).await;
    }
    valkey.restart().await?;
    let limit = Instant::now() + PATIENCE;
    while store.read_and_hold(&grant("alice")).await.is_err() {
        anyhow::ensure!(Instant::now() < limit, "it does not reconnect");
        sleep(Duration::from_millis(5)).await;
    }
    // The server that came back has nothing, and that is what is held.
    assert_eq!(recent(store.as_ref(), "alice"), None);
    write(store.as_ref(), "alice", b"new").await?;
    assert_eq!(hold(store.as_ref(), "alice").await?, b"new");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushing_and_removing_keys_ends_their_entries() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let store = store_at(valkey.url()).await?;
    let _busy = Busy::on(&store);
    let remove = "return redis.call('DEL', unpack(redis.call('KEYS', 'tokenward:{g:alice}')))";
    let expire = "return redis.call('PEXPIRE', 'tokenward:{g:alice}', 1)";
    for words in [
        &["FLUSHALL"][..],
        &["FLUSHDB"],
        &["EVAL", remove, "0"],
        &["EVAL", expire, "0"],
    ] {
        write(store.as_ref(), "alice", b"old").await?;
        assert_eq!(hold(store.as_ref(), "alice").await?, b"old");
        valkey.command(words).await?;
        // An expiry is a change as well; the key itself is gone a millisecond later.
        sleep(PROOF_LIFETIME).await;
        assert_eq!(recent(store.as_ref(), "alice"), None, "{words:?}");
        assert_eq!(store.read(&grant("alice")).await?, None);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicted_key_is_not_used_any_more() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let store = store_at(valkey.url()).await?;
    write(store.as_ref(), "alice", b"old").await?;
    assert_eq!(hold(store.as_ref(), "alice").await?, b"old");
    let _busy = Busy::on(&store);
    for (name, value) in [("maxmemory-policy", "allkeys-random"), ("maxmemory", "1")] {
        valkey.command(&["CONFIG", "SET", name, value]).await?;
    }
    let limit = Instant::now() + PATIENCE;
    while valkey.command(&["EXISTS", "tokenward:{g:alice}"]).await? != ":0\r\n" {
        anyhow::ensure!(Instant::now() < limit, "nothing is evicted");
        sleep(Duration::from_millis(5)).await;
    }
    sleep(PROOF_LIFETIME).await;
    assert_eq!(recent(store.as_ref(), "alice"), None);
    Ok(())
}

async fn reconnected(store: &dyn Store) -> anyhow::Result<Vec<u8>> {
    let limit = Instant::now() + PATIENCE;
    while store.ping().await.is_err() {
        anyhow::ensure!(Instant::now() < limit, "it does not reconnect");
        sleep(Duration::from_millis(20)).await;
    }
    hold(store, "alice").await
}
