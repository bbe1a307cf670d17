//! The embedded engine's file: durable, locked, verified, swept; and operations that hang or panic.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokenward_control::clock::{Clock, HandClock};
use tokenward_control::store::embedded::{EmbeddedStore, OpenError};
use tokenward_control::store::{Expected, Key, Store, StoreError};
use tokenward_harness::parts::write_file;
use tokio::task::JoinSet;

use super::engine::{LONG_DEADLINE, NOW_MS};
use super::{MINUTE, MOMENT, entry, eventually, put};

async fn open(path: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(path, LONG_DEADLINE, Arc::new(HandClock::at(NOW_MS))).await
}

#[tokio::test]
async fn values_sets_and_revisions_outlive_the_process() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let path = folder.path().join("store.redb");
    let (key, set, lasting) = (Key::new("a", "1"), Key::new("s", "1"), Key::new("a", "2"));
    let store = open(&path).await?;
    let revision = put(&store, &key, b"value").await?;
    store.write(&lasting, Expected::Any, b"lasting", None).await?;
    store.add_member(&set, "member", MINUTE).await?;
    store.close().await?;
    let store = open(&path).await?;
    assert_eq!(store.read(&key).await?, Some(entry(revision, b"value")));
    assert_eq!(store.members(&set).await?, ["member"]);
    assert!(put(&store, &key, b"newer").await? > revision);
    store.close().await?;
    let later = Arc::new(HandClock::at(NOW_MS + 60_001));
    let store = EmbeddedStore::open(&path, LONG_DEADLINE, later).await?;
    assert_eq!(store.read(&key).await?, None);
    assert_eq!(store.members(&set).await?, [""; 0]);
    assert!(store.read(&lasting).await?.is_some());
    Ok(())
}

/// A copy of the open file has the content that a killed process would have left behind.
#[tokio::test]
async fn acknowledged_writes_are_in_the_file_without_a_clean_shutdown() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let (path, copy) = (folder.path().join("store.redb"), folder.path().join("copy.redb"));
    let store = Arc::new(open(&path).await?);
    let mut tasks = JoinSet::new();
    for number in 0..40_u8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { put(&*store, &Key::new("a", &number.to_string()), &[number]).await });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    std::fs::copy(&path, &copy)?;
    let found = open(&copy).await?;
    let mut found_count = 0;
    for number in 0..40_u8 {
        let value = found
            .read(&Key::new("a", &number.to_string()))
            .await?
            .map(|entry| entry.value);
        found_count += usize::from(value == Some(vec![number]));
    }
    assert_eq!(found_count, 40);
    Ok(())
}

#[tokio::test]
async fn each_write_of_a_burst_is_applied_once() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let store = Arc::new(open(&folder.path().join("store.redb")).await?);
    let mut tasks = JoinSet::new();
    for number in 0..1_000 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { put(&*store, &Key::new("a", &number.to_string()), b"").await });
    }
    let mut revisions = Vec::new();
    while let Some(result) = tasks.join_next().await {
        revisions.push(result??);
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 1_000);
    Ok(())
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let path = folder.path().join("store.redb");
    let first = open(&path).await?;
    let error = open(&path).await.expect_err("the file is locked");
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error:?}");
    assert!(
        error.to_string().contains("is already open by another process"),
        "{error}"
    );
    first.ping().await?;
    first.close().await?;
    assert!(matches!(first.ping().await, Err(StoreError::Failed { .. })));
    open(&path).await?.ping().await?;
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_refused_with_a_hint_and_not_modified() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let mut refused = 0;
    for content in [
        &b"not a store"[..],
        &[0; 100_000],
        &[0xff; 100_000],
        b"redb\x1a\x0a\xa9\x0d\x0a",
    ] {
        let path = write_file(&folder, "store.redb", content)?;
        let error = open(&path).await.expect_err("not a store");
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .contains("restore it from a backup, or move it away"),
            "{error}"
        );
        assert_eq!(std::fs::read(&path)?, content);
        refused += 1;
    }
    assert_eq!(refused, 4);
    Ok(())
}

#[tokio::test]
async fn a_store_damaged_anywhere_is_refused_or_still_correct_and_never_panics() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let path = folder.path().join("store.redb");
    let key = Key::new("a", "1");
    let store = open(&path).await?;
    let revision = put(&store, &key, &[7; 20_000]).await?;
    store.close().await?;
    let (mut refused, mut correct) = (0, 0);
    let pages = std::fs::metadata(&path)?.len() / 4096;
    for page in 0..pages.min(40) {
        let damaged = folder.path().join("damaged.redb");
        std::fs::copy(&path, &damaged)?;
        let mut file = OpenOptions::new().write(true).open(&damaged)?;
        file.seek(SeekFrom::Start(page * 4096 + 64))?;
        file.write_all(&[0xa5; 512])?;
        drop(file);
        match open(&damaged).await {
            Err(OpenError::Damaged { .. } | OpenError::OtherVersion { .. }) => refused += 1,
            Err(error) => panic!("page {page}: {error:?}"),
            Ok(store) => {
                assert_eq!(
                    store.read(&key).await?,
                    Some(entry(revision, &[7; 20_000])),
                    "page {page}"
                );
                correct += 1;
            }
        }
    }
    assert!(refused > 0 && correct > 0, "{refused} refused, {correct} correct");
    Ok(())
}

#[tokio::test]
async fn a_missing_folder_is_named() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let error = open(&folder.path().join("missing/store.redb"))
        .await
        .expect_err("there is no such folder");
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(
        error.to_string().contains("check that its folder exists"),
        "{error}"
    );
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_only() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let path = folder.path().join("store.redb");
    let _store = open(&path).await?;
    assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

#[tokio::test]
async fn a_sweep_removes_expired_entries_and_nothing_else() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let clock = Arc::new(HandClock::at(NOW_MS));
    let store = EmbeddedStore::open(folder.path().join("store.redb"), LONG_DEADLINE, clock.clone()).await?;
    for number in 0..700 {
        let lifetime = if number < 600 { MOMENT } else { MINUTE };
        store
            .write(
                &Key::new("a", &number.to_string()),
                Expected::Any,
                b"",
                Some(lifetime),
            )
            .await?;
    }
    store.write(&Key::new("a", "0"), Expected::Any, b"", None).await?;
    store.add_member(&Key::new("s", "1"), "x", MOMENT).await?;
    assert_eq!(store.sweep().await?, 0);
    clock.advance(MOMENT);
    assert_eq!(store.sweep().await?, 600);
    assert_eq!(store.sweep().await?, 0);
    let mut left = 0;
    for number in 0..700 {
        left += usize::from(store.read(&Key::new("a", &number.to_string())).await?.is_some());
    }
    assert_eq!(left, 101);
    clock.advance(MINUTE);
    put(&store, &Key::new("b", "1"), b"").await?;
    assert_eq!(store.sweep().await?, 92, "one write also sweeps eight");
    Ok(())
}

/// A clock that blocks or panics when it is read, as a dead disk or a bug does to an operation.
#[derive(Debug, Default)]
struct FaultyClock {
    stopped: Mutex<bool>,
    released: Condvar,
    panics: AtomicBool,
}

impl Clock for FaultyClock {
    fn now_ms(&self) -> u64 {
        let stopped = self.stopped.lock().expect("never poisoned");
        drop(self.released.wait_while(stopped, |stopped| *stopped));
        assert!(!self.panics.load(Ordering::SeqCst), "as the test requested");
        NOW_MS
    }
}

impl FaultyClock {
    fn stop(&self, stopped: bool) {
        *self.stopped.lock().expect("never poisoned") = stopped;
        self.released.notify_all();
    }
}

async fn faulty(deadline: Duration) -> anyhow::Result<(TempDir, Arc<FaultyClock>, EmbeddedStore)> {
    let folder = TempDir::with_prefix("tokenward-store-")?;
    let clock = Arc::new(FaultyClock::default());
    let store = EmbeddedStore::open(folder.path().join("store.redb"), deadline, clock.clone()).await?;
    Ok((folder, clock, store))
}

#[tokio::test]
async fn a_hanging_operation_is_late_and_not_absent() -> anyhow::Result<()> {
    let (_folder, clock, store) = faulty(Duration::from_millis(200)).await?;
    let key = Key::new("a", "1");
    clock.stop(true);
    for _ in 0..3 {
        assert!(matches!(
            store.read(&key).await,
            Err(StoreError::Late {
                operation: "read",
                ..
            })
        ));
        let write = store.write(&key, Expected::Any, b"", None).await;
        assert!(matches!(
            write,
            Err(StoreError::Late {
                operation: "write",
                ..
            })
        ));
        assert!(matches!(store.members(&key).await, Err(StoreError::Late { .. })));
    }
    clock.stop(false);
    eventually("it answers again", || async { Ok(store.ping().await.is_ok()) }).await?;
    eventually("it writes again", || async {
        Ok(store.write(&key, Expected::Any, b"after", None).await.is_ok())
    })
    .await?;
    assert_eq!(
        store.read(&key).await?.map(|entry| entry.value),
        Some(b"after".to_vec())
    );
    Ok(())
}

#[tokio::test]
async fn a_panicking_operation_has_failed_and_the_next_one_works() -> anyhow::Result<()> {
    let (_folder, clock, store) = faulty(LONG_DEADLINE).await?;
    let key = Key::new("a", "1");
    put(&store, &key, b"before").await?;
    clock.panics.store(true, Ordering::SeqCst);
    assert!(matches!(
        store.read(&key).await,
        Err(StoreError::Failed {
            operation: "read",
            ..
        })
    ));
    let write = store.write(&key, Expected::Any, b"lost", None).await;
    assert!(matches!(
        write,
        Err(StoreError::Failed {
            operation: "write",
            ..
        })
    ));
    clock.panics.store(false, Ordering::SeqCst);
    assert_eq!(
        store.read(&key).await?.map(|entry| entry.value),
        Some(b"before".to_vec())
    );
    put(&store, &key, b"after").await?;
    assert_eq!(
        store.read(&key).await?.map(|entry| entry.value),
        Some(b"after".to_vec())
    );
    Ok(())
}
