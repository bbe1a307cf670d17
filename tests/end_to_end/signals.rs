//! Signals to a control service that has not started yet.

use std::time::Duration;

use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::parts::{Control, ControlConfig, ControlStore, LogBook};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(30);

/// A control service that waits for a Valkey which takes the connection and never says a word.
async fn starting() -> anyhow::Result<(Control, tokio::task::JoinHandle<()>)> {
    let dex = FakeDex::start(DexConfig::default()).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("redis://{}", listener.local_addr()?);
    let config = ControlConfig {
        store: ControlStore::Valkey { url, password: None },
        ..ControlConfig::default()
            .issuer(&dex, "muster", "s3cret")
            .forwarding_server("kubernetes", &["muster"])
    };
    let control = Control::launched(config)?;
    let (connection, _) = tokio::time::timeout(PATIENCE, listener.accept()).await??;
    let holding = tokio::spawn(async move {
        let mut held = vec![connection];
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    Ok((control, holding))
}

fn written(log: &LogBook, words: &str) -> usize {
    log.count(|line| line.contains(words))
}

#[tokio::test]
async fn a_sighup_during_the_start_is_honoured_after_it() -> anyhow::Result<()> {
    let (mut control, holding) = starting().await?;
    control.hang_up()?;
    control.wait_until_listening().await?;
    let log = control.log();
    let reloaded = |line: &str| line.contains("the configuration was reloaded");
    log.wait_for_line(reloaded, PATIENCE).await?;
    assert_eq!(written(&log, "starting without the store"), 1);
    holding.abort();
    Ok(())
}

#[tokio::test]
async fn a_sigterm_during_the_start_ends_it_in_order() -> anyhow::Result<()> {
    let (mut control, holding) = starting().await?;
    let (status, log) = control.terminate(PATIENCE).await?;
    assert!(status.success(), "{status}");
    assert_eq!(
        (written(&log, "\"stopped\""), written(&log, "\"listening\"")),
        (1, 0)
    );
    holding.abort();
    Ok(())
}
