//! Streams: capped, in order, and readable from both ends.

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::{Cursor, Key, Store, StreamEntry, StreamFrom, StreamLimit};
use tokio::task::JoinSet;

use super::engine::Engine;
use super::{MINUTE, MOMENT, eventually};

const fn limit(entries: usize, lifetime: Duration) -> StreamLimit {
    StreamLimit { entries, lifetime }
}

fn values(numbers: impl IntoIterator<Item = u32>) -> Vec<Vec<u8>> {
    let text = |number: u32| number.to_string().into_bytes();
    numbers.into_iter().map(text).collect()
}

fn values_of(entries: &[StreamEntry]) -> Vec<Vec<u8>> {
    entries.iter().map(|entry| entry.value.clone()).collect()
}

async fn oldest_first(store: &dyn Store, stream: &Key) -> anyhow::Result<Vec<Vec<u8>>> {
    let entries = store.entries(stream, StreamFrom::After(None), 1000).await?;
    Ok(values_of(&entries))
}

pub(super) async fn an_unknown_stream_is_empty(engine: &Engine) -> anyhow::Result<()> {
    let stream = engine.key();
    for from in [StreamFrom::After(None), StreamFrom::Before(None)] {
        assert_eq!(engine.store.entries(&stream, from, 10).await?, []);
    }
    Ok(())
}

pub(super) async fn entries_are_read_in_order_from_both_ends(engine: &Engine) -> anyhow::Result<()> {
    let (stream, other) = (engine.key(), engine.key());
    let store = &engine.store;
    store.append(&stream, &values(0..4), limit(100, MINUTE)).await?;
    store.append(&other, &values([99]), limit(100, MINUTE)).await?;
    store.append(&stream, &values(4..7), limit(100, MINUTE)).await?;
    store
        .append(&stream, &[vec![0, 255, b'\r', b'\n']], limit(100, MINUTE))
        .await?;
    let mut expected = values(0..7);
    expected.push(vec![0, 255, b'\r', b'\n']);
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let mut cursor: Option<Cursor> = None;
    loop {
        let page = store
            .entries(&stream, StreamFrom::After(cursor.as_ref()), 3)
            .await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.cursor.clone());
        forward.extend(values_of(&page));
    }
    cursor = None;
    loop {
        let page = store
            .entries(&stream, StreamFrom::Before(cursor.as_ref()), 3)
            .await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.cursor.clone());
        backward.extend(values_of(&page));
    }
    assert_eq!(forward, expected);
    expected.reverse();
    assert_eq!(backward, expected);
    assert_eq!(oldest_first(&**store, &other).await?, values([99]));
    Ok(())
}

pub(super) async fn what_is_appended_later_follows_the_newest_cursor(engine: &Engine) -> anyhow::Result<()> {
    let stream = engine.key();
    let store = &engine.store;
    store.append(&stream, &values(0..2), limit(100, MINUTE)).await?;
    let newest = store.entries(&stream, StreamFrom::Before(None), 1).await?;
    let cursor = newest.first().map(|entry| &entry.cursor);
    assert_eq!(store.entries(&stream, StreamFrom::After(cursor), 10).await?, []);
    store.append(&stream, &values(2..4), limit(100, MINUTE)).await?;
    let later = store.entries(&stream, StreamFrom::After(cursor), 10).await?;
    assert_eq!(values_of(&later), values(2..4));
    Ok(())
}

pub(super) async fn a_full_stream_loses_its_oldest_entries(engine: &Engine) -> anyhow::Result<()> {
    let stream = engine.key();
    let store = &engine.store;
    store.append(&stream, &values(0..3), limit(5, MINUTE)).await?;
    let first = store.entries(&stream, StreamFrom::After(None), 1).await?;
    store.append(&stream, &values(3..9), limit(5, MINUTE)).await?;
    assert_eq!(oldest_first(&**store, &stream).await?, values(4..9));
    // The position of an entry that is gone is still a position.
    let cursor = first.first().map(|entry| &entry.cursor);
    let rest = store.entries(&stream, StreamFrom::After(cursor), 2).await?;
    assert_eq!(values_of(&rest), values(4..6));
    store.append(&stream, &values([9]), limit(2, MINUTE)).await?;
    assert_eq!(oldest_first(&**store, &stream).await?, values(8..10));
    store.append(&stream, &values([10]), limit(0, MINUTE)).await?;
    assert_eq!(oldest_first(&**store, &stream).await?, values(0..0));
    Ok(())
}

pub(super) async fn a_stream_is_gone_once_its_lifetime_is_over(engine: &Engine) -> anyhow::Result<()> {
    let (short, lengthened) = (engine.key(), engine.key());
    let store = &engine.store;
    store.append(&short, &values(0..3), limit(10, MOMENT)).await?;
    store
        .append(&lengthened, &values(0..1), limit(10, MOMENT))
        .await?;
    store
        .append(&lengthened, &values(1..2), limit(10, MINUTE))
        .await?;
    engine.pass(MOMENT);
    eventually("the short-lived stream is gone", || async {
        Ok(oldest_first(&**store, &short).await?.is_empty())
    })
    .await?;
    assert_eq!(oldest_first(&**store, &lengthened).await?, values(0..2));
    store.append(&short, &values([7]), limit(10, MINUTE)).await?;
    assert_eq!(oldest_first(&**store, &short).await?, values([7]));
    Ok(())
}

pub(super) async fn a_cursor_of_another_store_is_no_position(engine: &Engine) -> anyhow::Result<()> {
    let stream = engine.key();
    engine
        .store
        .append(&stream, &values(0..1), limit(10, MINUTE))
        .await?;
    for foreign in ["", "x", "+", "-", "1-x", "record:7"] {
        let cursor = Cursor(foreign.to_owned());
        for from in [
            StreamFrom::After(Some(&cursor)),
            StreamFrom::Before(Some(&cursor)),
        ] {
            let page = engine.store.entries(&stream, from, 10).await;
            assert!(page.is_err(), "{foreign:?}: {page:?}");
        }
    }
    Ok(())
}

pub(super) async fn fifty_concurrent_appends_are_all_there(engine: &Engine) -> anyhow::Result<()> {
    let stream = engine.key();
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let (store, stream) = (Arc::clone(&engine.store), stream.clone());
        tasks.spawn(async move { store.append(&stream, &values([number]), limit(100, MINUTE)).await });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    let mut found = oldest_first(&*engine.store, &stream).await?;
    found.sort();
    let mut expected = values(0..50);
    expected.sort();
    assert_eq!(found, expected);
    Ok(())
}
