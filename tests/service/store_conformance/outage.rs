//! A Valkey that hangs, dies, restarts or rejects the credentials: the errors are distinct from "absent" and contain no
//! secret, and no restart of control is needed afterwards.

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

/// Runs every operation once; returns the number of successes, of late and of failed operations.
async fn run_every_operation(store: &dyn Store, key: &Key) -> (usize, usize, usize) {
    let results = [
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
    for result in results {
        match result {
            None => counts.0 += 1,
            Some(StoreError::Late { .. }) => counts.1 += 1,
            Some(StoreError::Failed { .. }) => counts.2 += 1,
            Some(other) => panic!("{other:?}"),
        }
    }
    counts
}

#[tokio::test]
async fn a_hanging_valkey_makes_every_operation_late_or_failed_and_is_used_again() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let store = ValkeyStore::connect(config(valkey.url(), SHORT_DEADLINE)).await?;
    let (stored, key) = (Key::new("a", "stored"), Key::new("a", "1"));
    put(&store, &stored, b"value").await?;
    valkey.pause()?;
    let first = store.read(&stored).await;
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
    let (answered, late, failed) = run_every_operation(&store, &key).await;
    assert_eq!((answered, late + failed), (0, 9));
    valkey.resume()?;
    eventually("it answers again", || async { Ok(store.ping().await.is_ok()) }).await?;
    assert_eq!(
        store.read(&stored).await?.map(|entry| entry.value),
        Some(b"value".to_vec())
    );
    eventually("every operation succeeds", || async {
        Ok(run_every_operation(&store, &key).await == (9, 0, 0))
    })
    .await
}

#[tokio::test]
async fn a_dead_valkey_makes_every_operation_fail_and_is_used_again_after_its_restart() -> anyhow::Result<()>
{
    let mut valkey = Valkey::start().await?;
    let store = ValkeyStore::connect(config(valkey.url(), LONG_DEADLINE)).await?;
    let key = Key::new("a", "1");
    for round in 0..3 {
        put(&store, &key, b"there").await?;
        valkey.kill()?;
        for _ in 0..3 {
            assert_eq!(
                run_every_operation(&store, &key).await,
                (0, 0, 9),
                "round {round}"
            );
        }
        valkey.restart().await?;
        eventually("it answers again", || async { Ok(store.ping().await.is_ok()) }).await?;
        // It restarted empty and without scripts: the key is absent, and the scripts are loaded again.
        assert_eq!(store.read(&key).await?, None);
        assert_eq!(
            run_every_operation(&store, &key).await,
            (9, 0, 0),
            "round {round}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() -> anyhow::Result<()> {
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
async fn a_valkey_that_is_not_running_yet_is_a_retryable_error() -> anyhow::Result<()> {
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
async fn an_invalid_configuration_is_reported_without_a_secret() {
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
            .expect_err("the URL is invalid");
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
async fn the_password_authenticates_and_appears_in_no_message() -> anyhow::Result<()> {
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

/// Servers without `HELLO` quote its arguments, including the password.
#[tokio::test]
async fn a_password_that_a_server_quotes_is_redacted_in_the_error() -> anyhow::Result<()> {
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
        .expect_err("it does not support HELLO");
    let text = format!("{error} {error:?}");
    assert!(text.contains("[password]") && !text.contains(PASSWORD), "{text}");
    assert!(
        server.await??.contains(PASSWORD),
        "it was quoted because it was sent"
    );
    Ok(())
}

#[tokio::test]
async fn a_connection_lost_while_idle_is_reestablished_before_the_next_operation() -> anyhow::Result<()> {
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
    assert_eq!(run_every_operation(&store, &Key::new("a", "1")).await, (9, 0, 0));
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_permanently_hanging_server_is_replaced_by_its_successor_at_the_address() -> anyhow::Result<()> {
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
        .expect_err("it does not support TLS");
    assert!(error.is_retryable(), "{error:?}");
    Ok(())
}
