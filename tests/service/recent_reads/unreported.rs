//! A server that does not report changes: everything works, each request reads, and the log says so.

use secrecy::SecretString;
use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_control::store::{Store as _, self_test};
use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::parts::{Control, ControlConfig, ControlStore, Valkey};
use tokenward_harness::secrets;

use super::{grant, recent, write};
use crate::deployment::valkey_config;

const PASSWORD: &str = "a-password-of-the-default-user";

/// The default user may do everything but `CLIENT TRACKING`.
async fn without_tracking() -> anyhow::Result<Valkey> {
    secrets::note(PASSWORD);
    let valkey = Valkey::start().await?;
    let password = format!(">{PASSWORD}");
    let rules = [
        "ACL",
        "SETUSER",
        "default",
        "resetpass",
        &password,
        "-client|tracking",
    ];
    let reply = valkey.command(&rules).await?;
    anyhow::ensure!(reply == "+OK\r\n", "{reply}");
    Ok(valkey)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_permission_everything_works_and_nothing_is_held() -> anyhow::Result<()> {
    let valkey = without_tracking().await?;
    let store = ValkeyStore::connect(ValkeyConfig {
        password: Some(SecretString::from(PASSWORD)),
        ..valkey_config(valkey.url())
    })
    .await?;
    self_test::run(&store).await?;
    for round in 0..20_u8 {
        write(&store, "alice", &[round]).await?;
        let read = store.read_and_hold(&grant("alice")).await?;
        assert_eq!(read.map(|entry| entry.value), Some(vec![round]));
        assert_eq!(recent(&store, "alice"), None);
    }
    assert_eq!(store.recent_bytes(), 0);
    Ok(())
}

#[tokio::test]
async fn the_log_says_once_which_permission_is_missing() -> anyhow::Result<()> {
    const LINE: &str = "Valkey does not report changed records";
    let valkey = without_tracking().await?;
    let password = Some(SecretString::from(PASSWORD));
    let store = ControlStore::Valkey {
        url: valkey.url(),
        password,
    };
    let dex = FakeDex::start(DexConfig::default()).await?;
    let control = Control::start(ControlConfig {
        store,
        ..ControlConfig::default()
            .issuer(&dex, "muster", "s3cret")
            .forwarding_server("kubernetes", &["muster"])
    })
    .await?;
    let mut lines = control.log().lines();
    lines.retain(|line| line.contains(LINE));
    let [line] = lines.as_slice() else {
        anyhow::bail!("not one line: {lines:?}")
    };
    assert!(
        line.contains("INFO") && line.contains("+client|tracking"),
        "{line}"
    );
    Ok(())
}
