//! Places for connections: those that rest make room for new ones, those at work for a known caller do not, and probes
//! are always answered.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokenward_harness::issuer::Endpoint;
use tokenward_harness::parts::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deployment::{Deployment, FILTER, Plan, basic};
use crate::store_conformance::eventually;

const PATIENCE: Duration = Duration::from_secs(30);
const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: control\r\n\r\n";

async fn deployment(connections: u32) -> anyhow::Result<Deployment> {
    let settings = json!({"intake": {"connections": connections, "keep_alive": "1h", "deadline": "1h"}});
    Deployment::start(Plan {
        settings,
        ..Plan::default()
    })
    .await
}

fn address(deployment: &Deployment) -> anyhow::Result<SocketAddr> {
    Ok(deployment.urls[0].trim_start_matches("http://").parse()?)
}

/// The head of an answer with its body, as far as it came at once.
async fn answered(stream: &mut TcpStream, request: &str) -> anyhow::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0_u8; 64 * 1024];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

/// A connection that rests after this request.
async fn resting(deployment: &Deployment, request: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address(deployment)?).await?;
    let answer = answered(&mut stream, request).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(stream)
}

/// Reads to the end; what came before it is of no interest.
async fn end(stream: &mut TcpStream) {
    // A reset is an end too.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Whether the connection is open and remains so for a moment.
async fn stays_open(stream: &mut TcpStream) -> bool {
    let moment = Duration::from_millis(100);
    tokio::time::timeout(moment, end(stream)).await.is_err()
}

async fn wait_until_closed(stream: &mut TcpStream) -> anyhow::Result<()> {
    let closed = tokio::time::timeout(PATIENCE, end(stream)).await;
    closed.context("it was not closed")
}

/// How many connections were closed for these causes: `pushed_out`, `full`. Read without a connection.
async fn closed(deployment: &Deployment) -> anyhow::Result<(u64, u64)> {
    let text = deployment.service(0).service().metrics().exposition();
    let metrics = Metrics::read(&text);
    let count = |cause| metrics.count("tokenward_connections_closed_total", &[("cause", cause)]);
    Ok((count("pushed_out"), count("full")))
}

fn token_request(form: &str) -> String {
    format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: control\r\nauthorization: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        basic("filter", FILTER),
        form.len()
    )
}

/// Review, control 6: one `GET /livez` on each place, then rest: everything else got 503 for ten minutes.
#[tokio::test]
async fn places_of_connections_that_rest_are_there_for_new_ones_the_longest_resting_first()
-> anyhow::Result<()> {
    let deployment = deployment(8).await?;
    let tokens = deployment.log_in("s-1").await?;
    let mut attackers = Vec::new();
    for _ in 0..8 {
        attackers.push(resting(&deployment, LIVEZ).await?);
    }
    // The connection of the login has shown a credential, and stays.
    wait_until_closed(&mut attackers[0]).await?;
    let request = token_request(&deployment.ask(&tokens.id_token).session("s-1").form());
    let mut callers = Vec::new();
    for attacker in attackers.iter_mut().skip(1).take(5) {
        callers.push(resting(&deployment, &request).await?);
        wait_until_closed(attacker).await?;
    }
    for attacker in attackers.iter_mut().skip(6) {
        assert!(stays_open(attacker).await, "it was not this one's turn");
    }
    assert_eq!(closed(&deployment).await?, (6, 0));
    Ok(())
}

#[tokio::test]
async fn connections_without_a_request_make_room_first_and_those_with_a_credential_last() -> anyhow::Result<()>
{
    let deployment = deployment(4).await?;
    let tokens = deployment.log_in("s-1").await?;
    let request = token_request(&deployment.ask(&tokens.id_token).session("s-1").form());
    let mut known = resting(&deployment, &request).await?;
    let mut unknown = resting(&deployment, LIVEZ).await?;
    let mut silent = TcpStream::connect(address(&deployment)?).await?;
    // Heads of HTTP/1 and the beginning of HTTP/2, without an end.
    silent.write_all(b"GET /livez HTTP/1.1\r\nhost: con").await?;
    let mut preface = TcpStream::connect(address(&deployment)?).await?;
    preface.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    // With the connection of the login these are five.
    wait_until_closed(&mut silent).await?;
    let mut newcomers = Vec::new();
    for _ in 0..20 {
        newcomers.push(TcpStream::connect(address(&deployment)?).await?);
    }
    eventually("21 connections make room", async || {
        Ok(closed(&deployment).await?.0 >= 21)
    })
    .await?;
    assert_eq!(closed(&deployment).await?, (21, 0));
    wait_until_closed(&mut preface).await?;
    assert!(stays_open(&mut unknown).await && stays_open(&mut known).await);
    // The last one without an answer makes room, then the unknown one; the known one stays.
    let _answered = resting(&deployment, LIVEZ).await?;
    let last = newcomers.last_mut().context("twenty newcomers")?;
    wait_until_closed(last).await?;
    let _answered_too = resting(&deployment, LIVEZ).await?;
    wait_until_closed(&mut unknown).await?;
    assert!(stays_open(&mut known).await);
    Ok(())
}

/// A head is soon sent; it is the body that does not come.
#[tokio::test]
async fn bodies_that_do_not_come_make_room_too() -> anyhow::Result<()> {
    const HEAD: &str = "POST /v1/backchannel-logout HTTP/1.1\r\nhost: control\r\n\
        content-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\nlogout";
    let deployment = deployment(4).await?;
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address(&deployment)?).await?;
        stream.write_all(HEAD.as_bytes()).await?;
        attackers.push(stream);
    }
    let mut newcomers = Vec::new();
    for attacker in &mut attackers {
        newcomers.push(resting(&deployment, LIVEZ).await?);
        wait_until_closed(attacker).await?;
    }
    assert_eq!(closed(&deployment).await?.1, 0);
    Ok(())
}

#[tokio::test]
async fn http_2_connections_without_a_stream_make_room_too() -> anyhow::Result<()> {
    let deployment = deployment(4).await?;
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let stream = TcpStream::connect(address(&deployment)?).await?;
        let (requests, connection) = h2::client::handshake(stream).await?;
        let ended = tokio::spawn(connection);
        // One stream that was answered, and none since.
        let request = http::Request::get("http://control/livez").body(())?;
        let (answer, _) = requests.clone().ready().await?.send_request(request, true)?;
        assert_eq!(answer.await?.status(), 200);
        attackers.push((requests, ended));
    }
    let mut newcomers = Vec::new();
    for (_requests, ended) in attackers {
        newcomers.push(resting(&deployment, LIVEZ).await?);
        // However: by GOAWAY or the end of the connection.
        let _ = tokio::time::timeout(PATIENCE, ended).await??;
    }
    assert_eq!(closed(&deployment).await?, (4, 0));
    Ok(())
}

#[tokio::test]
async fn connections_at_work_for_known_callers_stay_and_probes_are_answered() -> anyhow::Result<()> {
    let deployment = deployment(4).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let request = token_request(&deployment.ask(&tokens.id_token).session("s-1").form());
    // Each has shown its credential before the next one comes, and waits for the one refresh.
    let known = deployment.service(0).service().metrics().intake_bytes_of("known");
    let mut callers = Vec::new();
    for _ in 0..4 {
        let before = known.get();
        let mut stream = TcpStream::connect(address(&deployment)?).await?;
        stream.write_all(request.as_bytes()).await?;
        callers.push(stream);
        eventually("the credential is read", async || Ok(known.get() > before)).await?;
    }
    tokio::time::timeout(PATIENCE, deployment.dex.wait_until_held(Endpoint::Refresh, 1)).await?;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address(&deployment)?).await?);
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let mut probe = TcpStream::connect(address(&deployment)?).await?;
        let answer = answered(&mut probe, &LIVEZ.replace("/livez", path)).await?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(answer.contains("connection: close"), "{path}: {answer}");
    }
    let mut fifth = TcpStream::connect(address(&deployment)?).await?;
    let answer = answered(&mut fifth, &request).await?;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    for part in [
        "retry-after: 1",
        "x-tokenward-control: ",
        "\"busy\"",
        "intake.connections",
        "connection: close",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert_eq!(closed(&deployment).await?.1, 204);
    deployment.dex.release(Endpoint::Refresh);
    for mut caller in callers {
        let mut answer = vec![0_u8; 64 * 1024];
        let count = tokio::time::timeout(PATIENCE, caller.read(&mut answer)).await??;
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}
