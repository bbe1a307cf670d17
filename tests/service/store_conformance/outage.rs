//! A Valkey that hangs, dies, comes back, or refuses the login: errors that differ from "absent", no secret
//! in any of them, and no restart needed afterwards.

use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_control::store::{Expected, Key, Store, StoreError, WriteOutcome};
use tokenward_harness::parts::Valkey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::engine::{LONG_DEADLINE, config};
use super::{MINUTE, eventually, owner, put};

const SHORT_DEADLINE: Duration = Duration::from_millis(1500);
const PASSWORD: &str = "correct-horse-battery";

/// Runs each operation once; how many answers there were, and how many errors of either kind.
async fn run_each_operation(store: &dyn Store, key: &Key) -> (usize, usize, usize) {
    let answers = [
        store.read(key).await.err(),
        store.write(key, Expected::Any, b"new", Some(MINUTE)).await.err(),
        store.delete(key, Expected::Any).await.err(),
        store.add_member(key, "a", MINUTE).await.err(),
        store.remove_member(key, "a").await.err(),
        store.members(key).await.err(),
        store.acquire_lease(key, &owner("a"), MINUTE).await.err(),
        store.release_lease(key, &owner("a")).await.err(),
        store.ping().await.err(),
    ];
    let mut counts = (0, 0, 0);
    for answer in answers {
        match answer {
            None => counts.0 += 1,
            Some(StoreError::Late { .. }) => counts.1 += 1,
            Some(StoreError::Failed { .. }) => counts.2 += 1,
            Some(other) => panic!("{other:?}"),
        }
    }
    counts
}

#[tokio::test]
async fn a_valkey_that_hangs_makes_every_operation_late_or_failed_and_is_used_again() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let store = ValkeyStore::connect(config(valkey.url(), SHORT_DEADLINE)).await?;
    let (kept, key) = (Key::new("a", "kept"), Key::new("a", "1"));
    put(&store, &kept, b"kept").await?;
    valkey.pause()?;
    let first = store.read(&kept).await;
    assert!(
        matches!(
            first,
            Err(StoreError::Late {
                operation: "read",
                ..
            })
        ),
        "{first:?}"
    );
    let (answered, late, failed) = run_each_operation(&store, &key).await;
    assert_eq!((answered, late + failed), (0, 9));
    valkey.resume()?;
    eventually("it answers again", || async { Ok(store.ping().await.is_ok()) }).await?;
    assert_eq!(
        store.read(&kept).await?.map(|entry| entry.value),
        Some(b"kept".to_vec())
    );
    eventually("everything is answered", || async {
        Ok(run_each_operation(&store, &key).await == (9, 0, 0))
    })
    .await
}

#[tokio::test]
async fn a_dead_valkey_makes_every_operation_fail_and_is_used_again_once_it_is_back() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let store = ValkeyStore::connect(config(valkey.url(), LONG_DEADLINE)).await?;
    let key = Key::new("a", "1");
    for round in 0..3 {
        put(&store, &key, b"there").await?;
        valkey.kill()?;
        for _ in 0..3 {
            assert_eq!(run_each_operation(&store, &key).await, (0, 0, 9), "round {round}");
        }
        valkey.restart().await?;
        eventually("it answers again", || async { Ok(store.ping().await.is_ok()) }).await?;
        // It came back empty and without our scripts: that is "absent", and the scripts are loaded again.
        assert_eq!(store.read(&key).await?, None);
        assert_eq!(run_each_operation(&store, &key).await, (9, 0, 0), "round {round}");
    }
    Ok(())
}

#[tokio::test]
async fn scripts_that_valkey_forgot_are_loaded_again() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let store = ValkeyStore::connect(config(valkey.url(), LONG_DEADLINE)).await?;
    let key = Key::new("a", "1");
    for _ in 0..3 {
        put(&store, &key, b"there").await?;
        assert_eq!(valkey.command(&["SCRIPT", "FLUSH"]).await?, "+OK\r\n");
    }
    assert!(matches!(
        store.delete(&key, Expected::Any).await?,
        WriteOutcome::Done(_)
    ));
    Ok(())
}

#[tokio::test]
async fn a_valkey_that_is_not_there_yet_is_worth_another_try() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    valkey.kill()?;
    let error = ValkeyStore::connect(config(valkey.url(), SHORT_DEADLINE))
        .await
        .expect_err("it is dead");
    assert!(error.is_retryable(), "{error:?}");
    assert!(
        error.to_string().starts_with("cannot reach Valkey at "),
        "{error}"
    );
    valkey.restart().await?;
    ValkeyStore::connect(config(valkey.url(), LONG_DEADLINE))
        .await?
        .ping()
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_configuration_that_cannot_be_right_fails_and_quotes_no_secret() {
    let mut refused = 0;
    for url in [
        "redis://:correct-horse-battery@127.0.0.1:6379/0",
        "redis://user:correct-horse-battery@127.0.0.1:6379/0",
        "http://correct-horse-battery.example.com/",
        "correct-horse-battery",
        "",
    ] {
        let error = ValkeyStore::connect(config(url.to_owned(), SHORT_DEADLINE))
            .await
            .expect_err("that is no good URL");
        assert!(!error.is_retryable(), "{error:?}");
        assert!(error.to_string().contains("store.valkey.url"), "{error}");
        assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
        refused += 1;
    }
    assert_eq!(refused, 5);
}

fn with_password(url: String, password: &str) -> ValkeyConfig {
    ValkeyConfig {
        password: Some(SecretString::from(password)),
        ..config(url, LONG_DEADLINE)
    }
}

#[tokio::test]
async fn the_password_opens_valkey_and_is_seen_nowhere() -> anyhow::Result<()> {
    let mut valkey = Valkey::start_with(&["--requirepass", PASSWORD]).await?;
    let right = with_password(valkey.url(), PASSWORD);
    assert!(!format!("{right:?}").contains(PASSWORD));
    let store = ValkeyStore::connect(right).await?;
    put(&store, &Key::new("a", "1"), b"there").await?;
    assert!(!format!("{store:?}").contains(PASSWORD));
    let wrong = ValkeyStore::connect(with_password(valkey.url(), "wrong-horse"))
        .await
        .expect_err("wrong password");
    assert!(wrong.is_retryable(), "{wrong:?}");
    assert!(
        format!("{wrong}").contains("WRONGPASS") || format!("{wrong}").contains("invalid"),
        "{wrong}"
    );
    assert!(!format!("{wrong} {wrong:?}").contains("wrong-horse"));
    let none = ValkeyStore::connect(config(valkey.url(), LONG_DEADLINE)).await;
    assert!(none.is_err());
    valkey.kill()?;
    let error = store.ping().await.expect_err("it is dead");
    assert!(!format!("{error} {error:?}").contains(PASSWORD));
    Ok(())
}

/// Servers without `HELLO` quote its arguments, the password among them.
#[tokio::test]
async fn a_server_that_quotes_the_password_does_not_get_it_into_an_error() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("redis://{}/0", listener.local_addr()?);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut request = [0_u8; 4096];
        let read = stream.read(&mut request).await?;
        let reply =
            format!("-ERR unknown command 'HELLO', with args beginning with: 'AUTH' '{PASSWORD}'\r\n");
        stream.write_all(reply.repeat(4).as_bytes()).await?;
        anyhow::Ok(String::from_utf8_lossy(&request[..read]).into_owned())
    });
    let error = ValkeyStore::connect(with_password(url, PASSWORD))
        .await
        .expect_err("it knows no HELLO");
    let text = format!("{error} {error:?}");
    assert!(text.contains("[password]") && !text.contains(PASSWORD), "{text}");
    assert!(
        server.await??.contains(PASSWORD),
        "it was quoted because it was sent"
    );
    Ok(())
}

#[tokio::test]
async fn a_connection_lost_while_idle_is_made_again_before_the_next_call() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let store = ValkeyStore::connect(config(valkey.url(), LONG_DEADLINE)).await?;
    valkey.kill()?;
    valkey.restart().await?;
    eventually("the store is connected", || async {
        Ok(valkey
            .command(&["CLIENT", "LIST"])
            .await?
            .contains("lib-name=redis-rs"))
    })
    .await?;
    assert_eq!(run_each_operation(&store, &Key::new("a", "1")).await, (9, 0, 0));
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_hangs_for_good_is_left_for_the_one_that_took_its_address() -> anyhow::Result<()> {
    let (mut first, second) = (Valkey::start().await?, Valkey::start().await?);
    let folder = TempDir::with_prefix("tokenward-address-")?;
    let address = folder.path().join("valkey.sock");
    std::os::unix::fs::symlink(first.url().trim_start_matches("unix://"), &address)?;
    let url = format!("unix://{}", address.display());
    let store = ValkeyStore::connect(config(url, SHORT_DEADLINE)).await?;
    put(&store, &Key::new("a", "1"), b"there").await?;
    first.pause()?;
    std::fs::remove_file(&address)?;
    std::os::unix::fs::symlink(second.url().trim_start_matches("unix://"), &address)?;
    eventually("the second one is used", || async {
        Ok(store.ping().await.is_ok())
    })
    .await?;
    assert_eq!(store.read(&Key::new("a", "1")).await?, None);
    Ok(())
}

#[tokio::test]
async fn tls_to_a_server_without_tls_is_an_error_and_not_a_panic() -> anyhow::Result<()> {
    let valkey = Valkey::start_on_a_port(&[]).await?;
    let url = valkey.url().replace("redis://", "rediss://");
    let error = ValkeyStore::connect(config(url, SHORT_DEADLINE))
        .await
        .expect_err("it speaks no TLS");
    assert!(error.is_retryable(), "{error:?}");
    Ok(())
}
