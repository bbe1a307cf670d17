//! Handshakes: which clients are served, and what a slow or strange client costs.

use reqwest::Version;
use serde_json::json;
use tokenward_harness::parts::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stage::{PATIENCE, Stage, line};

/// The beginning of a ClientHello record: the listener waits for the other 500 bytes.
const HALF_A_HELLO: [u8; 7] = [0x16, 3, 1, 2, 0, 1, 0];

/// Reads until the connection is closed; how many bytes came.
async fn until_closed(stream: &mut TcpStream) -> anyhow::Result<usize> {
    let mut bytes = Vec::new();
    match tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await? {
        Ok(_) | Err(_) => Ok(bytes.len()),
    }
}

#[tokio::test]
async fn clients_that_trust_the_authority_are_served_by_http_1_and_2() -> anyhow::Result<()> {
    let stage = Stage::start(json!({}), &[]).await?;
    let http2 = stage.client(&stage.authority, None)?;
    let answer = http2.get(format!("{}/livez", stage.control.url())).send().await?;
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_2)
    );
    let authority = reqwest::Certificate::from_pem(stage.authority.pem().as_bytes())?;
    let http1 = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .http1_only()
        .build()?;
    let answer = http1.get(format!("{}/livez", stage.control.url())).send().await?;
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_11)
    );
    assert_eq!(stage.closed("no_handshake").await?, 0);
    Ok(())
}

#[tokio::test]
async fn plain_http_and_a_client_of_another_authority_get_no_answer_and_one_warning_each()
-> anyhow::Result<()> {
    let stage = Stage::start(json!({}), &[]).await?;
    for _ in 0..3 {
        let mut plain = TcpStream::connect(stage.control.address()).await?;
        plain
            .write_all(b"GET /livez HTTP/1.1\r\nhost: control\r\n\r\n")
            .await?;
        // At most an alert, never an answer.
        assert!(until_closed(&mut plain).await? < 10);
    }
    let stranger = stage.client(&Authority::new("another authority")?, None)?;
    for _ in 0..3 {
        assert_eq!(stage.status(&stranger, "/livez").await, None);
    }
    line(
        &stage.log(),
        &["a TLS handshake failed", "does not speak TLS", "https://"],
    )
    .await?;
    line(
        &stage.log(),
        &["a TLS handshake failed", "unknown_ca", "authority"],
    )
    .await?;
    assert_eq!(stage.closed_at_least("no_handshake", 6).await?, 6);
    let warnings = stage
        .log()
        .count(|line| line.contains("a TLS handshake failed") && line.contains("WARN"));
    assert_eq!(warnings, 2);
    Ok(())
}

#[tokio::test]
async fn a_client_that_hangs_up_is_no_warning() -> anyhow::Result<()> {
    let stage = Stage::start(json!({}), &[]).await?;
    for _ in 0..3 {
        drop(TcpStream::connect(stage.control.address()).await?);
    }
    assert_eq!(stage.closed_at_least("no_handshake", 3).await?, 3);
    assert_eq!(stage.log().count(|line| line.contains("WARN")), 0);
    Ok(())
}

#[tokio::test]
async fn a_handshake_has_the_deadline_of_a_request() -> anyhow::Result<()> {
    let stage = Stage::start(json!({}), &[("intake", json!({"deadline": "2s"}))]).await?;
    let mut slow = TcpStream::connect(stage.control.address()).await?;
    slow.write_all(&HALF_A_HELLO).await?;
    let silent = &mut TcpStream::connect(stage.control.address()).await?;
    assert_eq!(until_closed(&mut slow).await?, 0);
    assert_eq!(until_closed(silent).await?, 0);
    assert_eq!(stage.closed_at_least("late", 2).await?, 2);
    assert_eq!(stage.closed("no_handshake").await?, 0);
    Ok(())
}

#[tokio::test]
async fn unfinished_handshakes_make_room_for_real_clients() -> anyhow::Result<()> {
    let stage = Stage::start(
        json!({}),
        &[("intake", json!({"connections": 8, "deadline": "60s"}))],
    )
    .await?;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(stage.control.address()).await?;
        stream.write_all(&HALF_A_HELLO).await?;
        slow.push(stream);
    }
    let client = stage.client(&stage.authority, None)?;
    for _ in 0..10 {
        assert_eq!(stage.status(&client, "/readyz").await, Some(200));
    }
    assert_eq!(stage.closed("full").await?, 0);
    stage.closed_at_least("pushed_out", 33).await?;
    Ok(())
}
