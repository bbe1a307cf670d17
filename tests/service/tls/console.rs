//! The console's listener has TLS of its own.

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::{Authority, MountedSecret};

use super::stage::{PATIENCE, Stage, files};

#[tokio::test]
async fn the_consoles_listener_serves_its_own_certificate_and_the_renewed_one() -> anyhow::Result<()> {
    let authority = Authority::new("the console's authority")?;
    let mut secret = MountedSecret::mount(&files(&authority.pair(&["127.0.0.1"])?))?;
    let folder = TempDir::with_prefix("tokenward-console-tls-")?;
    let client_secret = folder.path().join("secret");
    std::fs::write(&client_secret, "a-client-secret-of-the-console")?;
    let console = json!({
        "listen": "127.0.0.1:0",
        "public_url": "https://console.example.com",
        "tls": {
            "certificate": {"file": secret.path("tls.crt")},
            "key": {"file": secret.path("tls.key")},
        },
        "issuer": "https://dex.example.com",
        "client_id": "console",
        "client_secret": {"file": client_secret},
        "groups": ["sre"],
    });
    let stage = Stage::start(json!({}), &[("console", console)]).await?;
    let log = stage.control.log();
    let line = log
        .wait_for_line(|line| line.contains("serving the console"), PATIENCE)
        .await?;
    let line: Value = serde_json::from_str(&line)?;
    let address = line["address"].as_str().context("no address")?;
    let url = format!("https://{address}/console/");

    // It answers, though not for this host.
    let status = async |trusted: &Authority| -> anyhow::Result<Option<u16>> {
        let answer = stage.client(trusted, None)?.get(&url).send().await;
        Ok(answer.ok().map(|answer| answer.status().as_u16()))
    };
    assert_eq!(status(&authority).await?, Some(421));
    assert_eq!(status(&stage.authority).await?, None);

    let next = Authority::new("the next authority")?;
    let mark = log.lines().len();
    secret.update(&files(&next.pair(&["127.0.0.1"])?))?;
    log.wait_for_line_after(
        mark,
        |line| line.contains("the certificate was renewed"),
        PATIENCE,
    )
    .await?;
    assert_eq!(status(&next).await?, Some(421));
    assert_eq!(status(&authority).await?, None);
    Ok(())
}
