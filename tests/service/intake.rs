//! Slow and greedy callers: each takes a connection slot until the deadline closes it; no other caller waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokenward_control::serve::Listener;
use tokenward_harness::issuer::Endpoint;
use tokenward_harness::parts::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::deployment::{Deployment, FILTER, Plan, at_once, basic};

/// Whatever is awaited here takes a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

async fn deployment(intake: serde_json::Value) -> anyhow::Result<Deployment> {
    let settings = json!({"intake": intake});
    Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await
}

async fn connect(deployment: &Deployment) -> anyhow::Result<TcpStream> {
    let address = deployment.urls[0].trim_start_matches("http://");
    Ok(TcpStream::connect(address).await?)
}

/// Everything until the connection is closed.
async fn until_closed(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .context("it was not closed")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn closed(deployment: &Deployment, cause: &str) -> anyhow::Result<u64> {
    let text = deployment
        .http
        .get(format!("{}/metrics", deployment.urls[0]))
        .send()
        .await?
        .text()
        .await?;
    Ok(Metrics::read(&text).count("tokenward_connections_closed_total", &[("cause", cause)]))
}

/// Sends `bytes` one by one, a second apart, until the peer closes the connection; how long after `since` that was.
async fn drip(mut stream: TcpStream, since: Instant, bytes: &[u8]) -> anyhow::Result<Duration> {
    let (mut from, mut into) = stream.split();
    let dripping = async {
        for byte in bytes {
            if into.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut end = Vec::new();
    tokio::select! {
        () = dripping => {}
        read = tokio::time::timeout(PATIENCE, from.read_to_end(&mut end)) => {
            let _ = read.context("a dripping connection was not closed")?;
        }
    }
    Ok(since.elapsed())
}

#[tokio::test]
async fn two_hundred_callers_that_drip_a_byte_a_second_block_no_other_and_are_ended() -> anyhow::Result<()> {
    const HEAD: &[u8] = b"POST /oauth2/token HTTP/1.1\r\nhost: control\r\nx-slow: very\r\n\r\n";
    let deployment = deployment(json!({"deadline": "4s"})).await?;
    let tokens = deployment.log_in("s-1").await?;
    let mut slow = Vec::new();
    for _ in 0..200 {
        // From before it is accepted: a busy machine may begin to drip long after that.
        let since = Instant::now();
        slow.push(tokio::spawn(drip(connect(&deployment).await?, since, HEAD)));
    }
    let ended = Arc::new(AtomicUsize::new(0));
    let watched = at_once(slow.into_iter().map(|slow| {
        let ended = Arc::clone(&ended);
        async move {
            let took = slow.await??;
            ended.fetch_add(1, Ordering::SeqCst);
            anyhow::Ok(took)
        }
    }));
    let others = async {
        let mut waits = Vec::new();
        while ended.load(Ordering::SeqCst) == 0 && waits.len() < 400 {
            let asked = Instant::now();
            let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
            ensure!(answer.status == 200, "{answer:?}");
            waits.push(asked.elapsed());
        }
        waits.sort_unstable();
        anyhow::Ok(waits)
    };
    let (took, waits) = tokio::join!(watched, others);
    let waits = waits?;
    assert!(
        waits.len() > 10,
        "others were answered while 200 dripped: {waits:?}"
    );
    // Half of them: on a busy machine any single caller may wait.
    let usual = waits[waits.len() / 2];
    assert!(usual < Duration::from_secs(1), "callers had to wait: {waits:?}");
    for took in took {
        let took = took?;
        assert!(
            took >= Duration::from_millis(3900),
            "ended before its time: {took:?}"
        );
        assert!(took < PATIENCE, "ended long after its time: {took:?}");
    }
    assert_eq!(closed(&deployment, "late").await?, 200);
    assert_eq!(closed(&deployment, "full").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408_within_the_same_deadline() -> anyhow::Result<()> {
    let deployment = deployment(json!({"deadline": "3s"})).await?;
    let since = Instant::now();
    let mut stream = connect(&deployment).await?;
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: control\r\nauthorization: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\ngrant_type=",
        basic("filter", FILTER)
    );
    stream.write_all(head.as_bytes()).await?;
    let answer = until_closed(&mut stream).await?;
    let took = since.elapsed();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("\"bad_request\"") && answer.contains("intake.deadline"),
        "{answer}"
    );
    assert!(took >= Duration::from_millis(2900), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn a_head_that_never_comes_is_closed_and_one_that_drips_after_a_good_request_too() -> anyhow::Result<()>
{
    let deployment = deployment(json!({"deadline": "2s", "keep_alive": "1h"})).await?;
    let since = Instant::now();
    let mut silent = connect(&deployment).await?;
    assert_eq!(until_closed(&mut silent).await?, "");
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(1900), "{took:?}");

    let mut second = connect(&deployment).await?;
    second
        .write_all(b"GET /livez HTTP/1.1\r\nhost: control\r\n\r\n")
        .await?;
    let mut answer = [0_u8; 4096];
    let count = second.read(&mut answer).await?;
    assert!(answer[..count].starts_with(b"HTTP/1.1 200 "));
    second.write_all(b"GET /livez HTTP/1.1\r\n").await?;
    let said = until_closed(&mut second).await?;
    assert_eq!(said, "");

    // The beginning of HTTP/2, and nothing after it.
    let mut second = connect(&deployment).await?;
    second.write_all(b"PRI * HT").await?;
    until_closed(&mut second).await?;
    assert_eq!(closed(&deployment, "late").await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_connection_between_two_requests_stays_open_past_the_deadline_until_keep_alive()
-> anyhow::Result<()> {
    let deployment = deployment(json!({"deadline": "2s", "keep_alive": "10s"})).await?;
    let mut stream = connect(&deployment).await?;
    let mut answer = vec![0_u8; 4096];
    for _ in 0..2 {
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: control\r\n\r\n")
            .await?;
        let count = stream.read(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        // Longer than the deadline, which is no business of a connection at rest; nothing can be awaited here.
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    let said = until_closed(&mut stream).await?;
    assert_eq!(said, "");
    assert_eq!(
        (
            closed(&deployment, "idle").await?,
            closed(&deployment, "late").await?
        ),
        (1, 0)
    );
    Ok(())
}

#[tokio::test]
async fn a_stop_answers_requests_under_way_and_closes_idle_connections() -> anyhow::Result<()> {
    let deployment = deployment(json!({})).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = Listener::new(socket, deployment.service(0).clone());
    let running = tokio::spawn(listener.run(async {
        let _ = stopped.await;
    }));
    let mut resting = TcpStream::connect(address).await?;
    resting
        .write_all(b"GET /livez HTTP/1.1\r\nhost: control\r\n\r\n")
        .await?;
    assert!(resting.read(&mut [0_u8; 4096]).await? > 0);
    let form = deployment.ask(&tokens.id_token).form();
    let asked = deployment
        .http
        .post(format!("http://{address}/oauth2/token"))
        .header("authorization", basic("filter", FILTER))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let asked = tokio::spawn(asked.send());
    tokio::time::timeout(PATIENCE, deployment.dex.wait_until_held(Endpoint::Refresh, 1)).await?;
    let _ = stop.send(());
    // The connection at rest is closed at once, the other when it has its answer.
    assert_eq!(until_closed(&mut resting).await?, "");
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");
    assert!(!running.is_finished());
    deployment.dex.release(Endpoint::Refresh);
    assert_eq!(asked.await??.status(), 200);
    tokio::time::timeout(PATIENCE, running).await??;
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}
