//! The control service as a process: its address and its store survive a restart.

use std::time::Duration;

use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::parts::{Control, ControlConfig, ControlStore, Valkey};

fn config(dex: &FakeDex) -> ControlConfig {
    ControlConfig::default()
        .issuer(dex, "muster", "s3cret")
        .forwarding_server("kubernetes", &["muster"])
        .exchanging_server("remote-1", dex, "home", ("kube", "k"))
}

#[tokio::test]
async fn a_killed_control_service_starts_again_at_the_same_address() {
    let dex = FakeDex::start(DexConfig::default()).await.unwrap();
    let mut control = Control::start(config(&dex)).await.unwrap();
    let address = control.address();
    control.metrics().await.unwrap();
    control.kill().unwrap();
    assert!(control.metrics().await.is_err());
    control.restart().await.unwrap();
    assert_eq!(control.address(), address);
}

#[tokio::test]
async fn a_terminated_control_service_ends_in_order() {
    let dex = FakeDex::start(DexConfig::default()).await.unwrap();
    let mut control = Control::start(config(&dex)).await.unwrap();
    let (status, log) = control.terminate(Duration::from_secs(30)).await.unwrap();
    assert!(status.success(), "{status}: {}", log.tail(10));
    assert_eq!(log.count(|line| line.contains("listening")), 1);
}

#[tokio::test]
async fn two_control_services_share_one_valkey() {
    let dex = FakeDex::start(DexConfig::default()).await.unwrap();
    let valkey = Valkey::start_on_a_port(&[]).await.unwrap();
    let store = ControlStore::Valkey {
        url: valkey.url(),
        password: None,
    };
    let config = ControlConfig {
        store,
        ..config(&dex)
    };
    let first = Control::start(config.clone()).await.unwrap();
    let second = Control::start(config).await.unwrap();
    assert_ne!(first.address(), second.address());
}
