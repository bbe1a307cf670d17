//! Values: absent, written, compared and set, deleted, expired.

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::{Expected, Key, Revision, Store, WriteOutcome};
use tokio::task::JoinSet;

use super::engine::Engine;
use super::{MINUTE, MOMENT, done, entry, eventually, owner, put};

pub(super) async fn an_unknown_key_is_absent(engine: &Engine) -> anyhow::Result<()> {
    assert_eq!(engine.store.read(&engine.key()).await?, None);
    Ok(())
}

pub(super) async fn a_written_value_is_read_back_with_its_revision(engine: &Engine) -> anyhow::Result<()> {
    let key = engine.key();
    let first = put(&*engine.store, &key, b"one").await?;
    assert_eq!(engine.store.read(&key).await?, Some(entry(first, b"one")));
    let second = put(&*engine.store, &key, b"two").await?;
    assert_eq!(engine.store.read(&key).await?, Some(entry(second, b"two")));
    assert!(second > first);
    Ok(())
}

async fn is_absent(store: &dyn Store, key: &Key) -> anyhow::Result<bool> {
    Ok(store.read(key).await?.is_none())
}

pub(super) async fn a_value_is_absent_once_its_lifetime_is_over(engine: &Engine) -> anyhow::Result<()> {
    let (short, long) = (engine.key(), engine.key());
    engine
        .store
        .write(&short, Expected::Any, b"short", Some(MOMENT))
        .await?;
    engine
        .store
        .write(&long, Expected::Any, b"long", Some(MINUTE))
        .await?;
    engine.pass(MOMENT);
    eventually("the short-lived value is gone", || {
        is_absent(&*engine.store, &short)
    })
    .await?;
    assert_eq!(
        engine.store.read(&long).await?.map(|entry| entry.value),
        Some(b"long".to_vec())
    );
    Ok(())
}

pub(super) async fn a_value_without_lifetime_outlives_one_with(engine: &Engine) -> anyhow::Result<()> {
    let (lasting, short) = (engine.key(), engine.key());
    engine
        .store
        .write(&lasting, Expected::Any, b"short at first", Some(MOMENT))
        .await?;
    engine
        .store
        .write(&lasting, Expected::Any, b"lasting", None)
        .await?;
    engine
        .store
        .write(&short, Expected::Any, b"short", Some(MOMENT))
        .await?;
    engine.pass(MOMENT);
    eventually("the short-lived value is gone", || {
        is_absent(&*engine.store, &short)
    })
    .await?;
    assert_eq!(
        engine.store.read(&lasting).await?.map(|entry| entry.value),
        Some(b"lasting".to_vec())
    );
    Ok(())
}

pub(super) async fn a_new_lifetime_replaces_the_old(engine: &Engine) -> anyhow::Result<()> {
    let (longer, shorter) = (engine.key(), engine.key());
    engine
        .store
        .write(&longer, Expected::Any, b"", Some(MOMENT))
        .await?;
    engine
        .store
        .write(&longer, Expected::Any, b"", Some(MINUTE))
        .await?;
    engine
        .store
        .write(&shorter, Expected::Any, b"", Some(MINUTE))
        .await?;
    engine
        .store
        .write(&shorter, Expected::Any, b"", Some(MOMENT))
        .await?;
    engine.pass(MOMENT);
    eventually("the shortened value is gone", || {
        is_absent(&*engine.store, &shorter)
    })
    .await?;
    assert!(!is_absent(&*engine.store, &longer).await?);
    Ok(())
}

pub(super) async fn a_write_expecting_absence_happens_only_once(engine: &Engine) -> anyhow::Result<()> {
    let key = engine.key();
    let first = engine
        .store
        .write(&key, Expected::Absent, b"first", Some(MINUTE))
        .await?;
    let revision = done(&first)?;
    let second = engine
        .store
        .write(&key, Expected::Absent, b"second", Some(MINUTE))
        .await?;
    assert_eq!(second, WriteOutcome::Conflict(Some(entry(revision, b"first"))));
    assert_eq!(engine.store.read(&key).await?, Some(entry(revision, b"first")));
    Ok(())
}

pub(super) async fn a_write_at_a_stale_revision_changes_nothing_and_returns_the_current_entry(
    engine: &Engine,
) -> anyhow::Result<()> {
    let key = engine.key();
    let first = put(&*engine.store, &key, b"first").await?;
    let second = done(
        &engine
            .store
            .write(&key, Expected::At(first), b"second", Some(MINUTE))
            .await?,
    )?;
    let stale = engine
        .store
        .write(&key, Expected::At(first), b"stale", Some(MINUTE))
        .await?;
    assert_eq!(stale, WriteOutcome::Conflict(Some(entry(second, b"second"))));
    assert_eq!(engine.store.read(&key).await?, Some(entry(second, b"second")));
    let nowhere = engine
        .store
        .write(&engine.key(), Expected::At(first), b"lost", None)
        .await?;
    assert_eq!(nowhere, WriteOutcome::Conflict(None));
    Ok(())
}

pub(super) async fn an_expired_value_counts_as_absent_for_writes(engine: &Engine) -> anyhow::Result<()> {
    let (created, compared) = (engine.key(), engine.key());
    let mut revisions = Vec::new();
    for key in [&created, &compared] {
        revisions.push(done(
            &engine
                .store
                .write(key, Expected::Any, b"old", Some(MOMENT))
                .await?,
        )?);
    }
    engine.pass(MOMENT);
    eventually("both are gone", || async {
        Ok(is_absent(&*engine.store, &created).await? && is_absent(&*engine.store, &compared).await?)
    })
    .await?;
    done(
        &engine
            .store
            .write(&created, Expected::Absent, b"new", Some(MINUTE))
            .await?,
    )?;
    let late = engine
        .store
        .write(&compared, Expected::At(revisions[1]), b"late", Some(MINUTE))
        .await?;
    assert_eq!(late, WriteOutcome::Conflict(None));
    Ok(())
}

pub(super) async fn revisions_grow_and_are_never_repeated_after_a_deletion(
    engine: &Engine,
) -> anyhow::Result<()> {
    let key = engine.key();
    let mut last = Revision(0);
    for _ in 0..5 {
        for _ in 0..3 {
            let next = put(&*engine.store, &key, b"").await?;
            assert!(next > last, "{next:?} after {last:?}");
            last = next;
        }
        engine.store.delete(&key, Expected::Any).await?;
        let ghost = engine
            .store
            .write(&key, Expected::At(last), b"ghost", Some(MINUTE))
            .await?;
        assert_eq!(ghost, WriteOutcome::Conflict(None));
    }
    Ok(())
}

async fn increment(store: &dyn Store, key: &Key) -> anyhow::Result<()> {
    loop {
        let current = store.read(key).await?;
        let (expected, number) = match &current {
            None => (Expected::Absent, 0),
            Some(entry) => (
                Expected::At(entry.revision),
                std::str::from_utf8(&entry.value)?.parse::<u32>()?,
            ),
        };
        let next = (number + 1).to_string();
        if let WriteOutcome::Done(_) = store.write(key, expected, next.as_bytes(), Some(MINUTE)).await? {
            return Ok(());
        }
    }
}

pub(super) async fn a_hundred_concurrent_increments_are_exactly_a_hundred(
    engine: &Engine,
) -> anyhow::Result<()> {
    let key = engine.key();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (store, key) = (Arc::clone(&engine.store), key.clone());
        tasks.spawn(async move { increment(&*store, &key).await });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    assert_eq!(
        engine.store.read(&key).await?.map(|entry| entry.value),
        Some(b"100".to_vec())
    );
    Ok(())
}

pub(super) async fn of_fifty_concurrent_creators_exactly_one_succeeds(engine: &Engine) -> anyhow::Result<()> {
    let key = engine.key();
    let mut tasks = JoinSet::new();
    for number in 0..50_u8 {
        let (store, key) = (Arc::clone(&engine.store), key.clone());
        tasks.spawn(async move { store.write(&key, Expected::Absent, &[number], Some(MINUTE)).await });
    }
    let mut created = Vec::new();
    let mut seen = Vec::new();
    while let Some(result) = tasks.join_next().await {
        match result?? {
            WriteOutcome::Done(revision) => created.push(revision),
            WriteOutcome::Conflict(entry) => seen.push(entry.map(|entry| entry.revision)),
        }
    }
    assert_eq!(created.len(), 1);
    assert_eq!(seen, vec![Some(created[0]); 49]);
    Ok(())
}

pub(super) async fn deletion_obeys_its_precondition(engine: &Engine) -> anyhow::Result<()> {
    let key = engine.key();
    let first = put(&*engine.store, &key, b"first").await?;
    let second = put(&*engine.store, &key, b"second").await?;
    let there = WriteOutcome::Conflict(Some(entry(second, b"second")));
    assert_eq!(engine.store.delete(&key, Expected::At(first)).await?, there);
    assert_eq!(engine.store.delete(&key, Expected::Absent).await?, there);
    assert_eq!(
        engine.store.delete(&key, Expected::At(second)).await?,
        WriteOutcome::Done(second)
    );
    assert_eq!(engine.store.read(&key).await?, None);
    assert_eq!(
        engine.store.delete(&key, Expected::At(second)).await?,
        WriteOutcome::Conflict(None)
    );
    Ok(())
}

pub(super) async fn deleting_an_absent_key_is_no_error(engine: &Engine) -> anyhow::Result<()> {
    let key = engine.key();
    for expected in [Expected::Any, Expected::Absent] {
        assert_eq!(
            engine.store.delete(&key, expected).await?,
            WriteOutcome::Done(Revision(0))
        );
    }
    Ok(())
}

pub(super) async fn any_bytes_survive(engine: &Engine) -> anyhow::Result<()> {
    let all: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"\0", b"\r\n$-1\r\n", &[0xff; 3], &all] {
        let key = engine.key();
        let revision = put(&*engine.store, &key, value).await?;
        assert_eq!(engine.store.read(&key).await?, Some(entry(revision, value)));
        let conflict = engine.store.write(&key, Expected::Absent, b"", None).await?;
        assert_eq!(conflict, WriteOutcome::Conflict(Some(entry(revision, value))));
    }
    Ok(())
}

pub(super) async fn a_mebibyte_survives(engine: &Engine) -> anyhow::Result<()> {
    let value: Vec<u8> = (0..1_048_576_u32).map(|index| (index * 31 % 251) as u8).collect();
    let key = engine.key();
    let revision = put(&*engine.store, &key, &value).await?;
    assert_eq!(engine.store.read(&key).await?, Some(entry(revision, &value)));
    Ok(())
}

pub(super) async fn keys_with_odd_characters_are_all_distinct(engine: &Engine) -> anyhow::Result<()> {
    let names = [
        "",
        " ",
        "a",
        "a:b",
        "a}",
        "{a}",
        "}{",
        "a b",
        "a\r\nb",
        "a\0b",
        "é",
        "\u{1f511}",
        "*",
        "a?",
        "a/b",
        "a!b",
    ];
    let keys: Vec<Key> = names
        .iter()
        .flat_map(|name| [Key::new("odd", name), Key::new("odder", name)])
        .collect();
    for key in &keys {
        put(&*engine.store, key, key.as_str().as_bytes()).await?;
    }
    for key in &keys {
        let value = engine.store.read(key).await?.map(|entry| entry.value);
        assert_eq!(value.as_deref(), Some(key.as_str().as_bytes()), "{key:?}");
    }
    engine.store.delete(&keys[0], Expected::Any).await?;
    assert!(is_absent(&*engine.store, &keys[0]).await?);
    for key in &keys[1..] {
        assert!(!is_absent(&*engine.store, key).await?, "{key:?}");
    }
    Ok(())
}

pub(super) async fn a_value_a_set_and_a_lease_of_one_name_do_not_interfere(
    engine: &Engine,
) -> anyhow::Result<()> {
    let (store, key) = (&engine.store, engine.key());
    let revision = put(&**store, &key, b"value").await?;
    store.add_member(&key, "member", MINUTE).await?;
    store.acquire_lease(&key, &owner("a"), MINUTE).await?;
    assert_eq!(store.read(&key).await?, Some(entry(revision, b"value")));
    assert_eq!(store.members(&key).await?, ["member"]);
    assert!(store.release_lease(&key, &owner("a")).await?);
    store.delete(&key, Expected::Any).await?;
    assert_eq!(store.members(&key).await?, ["member"]);
    Ok(())
}

pub(super) async fn the_store_answers_a_ping(engine: &Engine) -> anyhow::Result<()> {
    tokio::time::timeout(Duration::from_secs(30), engine.store.ping()).await??;
    assert!(["embedded", "valkey"].contains(&engine.store.engine()));
    Ok(())
}
