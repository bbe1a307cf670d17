//! What callers without a credential can make a real control process hold: bytes in sum, streams, memory; and that those
//! with one are served meanwhile.

mod client;

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use tokenward_control::serve::REQUEST_BYTES;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::deployment::{Deployment, Plan, Processes, Session, email};
use client::Client;

/// `intake.bytes` here, of which callers without a credential share an eighth.
const LIMIT_BYTES: u64 = 16 * 1024 * 1024;
const SHARE_BYTES: u64 = LIMIT_BYTES / 8;
/// Connections of an attacker.
const CONNECTIONS: usize = 96;
/// Streams that a connection gets.
const STREAMS: usize = 16;
/// What an attack over so many connections may add to the memory of a process that is not optimised: the share twice, since
/// a body is decoded; as much that is being pushed out; for each connection 128 KiB; and room for an allocator that gives
/// nothing back.
const fn most_growth_kib(connections: usize) -> u64 {
    3 * SHARE_BYTES / 1024 + 128 * connections as u64 + 12 * 1024
}
const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    deployment: Deployment<Processes>,
    session: Session,
}

impl Stage {
    async fn start() -> anyhow::Result<Self> {
        let intake = json!({"bytes": LIMIT_BYTES, "deadline": "60s"});
        let mut deployment = Deployment::start_processes(Plan {
            replicas: 1,
            // The attack occupies both cores.
            store_deadline: Some("20s"),
            settings: json!({"intake": intake, "caller_deadline": "30s"}),
            ..Plan::of_processes()
        })
        .await?;
        let session = deployment.log_in_an_hour_ago(&email(0)).await?;
        let stage = Self { deployment, session };
        stage.serves().await?;
        Ok(stage)
    }

    fn address(&self) -> SocketAddr {
        self.deployment.replicas.controls[0].address()
    }

    fn resident_kib(&mut self) -> anyhow::Result<u64> {
        self.deployment.replicas.controls[0].process()?.resident_kib()
    }

    async fn held_bytes(&self, caller: &str) -> anyhow::Result<u64> {
        let metrics = self.deployment.replicas.controls[0].metrics().await?;
        Ok(metrics.count("tokenward_intake_bytes", &[("caller", caller)]))
    }

    /// Ten callers with the filter's credential get their token, one after the other.
    async fn serves(&self) -> anyhow::Result<()> {
        for _ in 0..10 {
            let answer = self.deployment.ask_for(&self.session).send().await?;
            anyhow::ensure!(answer.status == 200, "{answer:?}");
        }
        Ok(())
    }

    /// Waits until requests hold no more than `most_bytes`.
    async fn wait_until_held(&self, caller: &str, most_bytes: u64) -> anyhow::Result<()> {
        let given_back = |held| held <= most_bytes;
        self.wait_until("the bytes were given back", caller, given_back)
            .await
    }

    /// Waits until control has received an attack: its share is full, every evicted request is gone, and nothing changes.
    async fn wait_until_settled(&self) -> anyhow::Result<()> {
        /// Looks without a change.
        const CALM: usize = 10;
        let seen = Cell::new((0, 0));
        let settled = |held| {
            let (before, looks) = seen.get();
            seen.set((held, if held == before { looks + 1 } else { 0 }));
            (SHARE_BYTES / 2..=SHARE_BYTES).contains(&held) && seen.get().1 >= CALM
        };
        self.wait_until("the attack was received", "unknown", settled)
            .await
    }

    /// Waits until the bytes that requests of `caller` hold satisfy `predicate`.
    async fn wait_until(
        &self,
        what: &str,
        caller: &str,
        predicate: impl Fn(u64) -> bool,
    ) -> anyhow::Result<()> {
        let reached = async {
            while !predicate(self.held_bytes(caller).await?) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .with_context(|| format!("not within {PATIENCE:?}: {what}"))?
    }

    /// While an attack holds what it could get: the sum is bounded, others are served, memory has grown by so much.
    async fn assert_bounded(&mut self, before_kib: u64, connections: usize) -> anyhow::Result<u64> {
        self.serves().await?;
        let held = self.held_bytes("unknown").await?;
        anyhow::ensure!(held <= 2 * SHARE_BYTES, "{held} bytes of {SHARE_BYTES}");
        let growth = self.resident_kib()?.saturating_sub(before_kib);
        let most = most_growth_kib(connections);
        anyhow::ensure!(growth <= most, "grew by {growth} KiB, {most} at most");
        Ok(held)
    }
}

fn form_headers(length: usize) -> HeaderMap {
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    HeaderMap::from_iter([(CONTENT_TYPE, form), (CONTENT_LENGTH, HeaderValue::from(length))])
}

/// Connections with as many streams as they get, all of them unfinished.
async fn opened(
    address: SocketAddr,
    path: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> anyhow::Result<(Vec<Client>, usize)> {
    let (mut clients, mut streams) = (Vec::new(), 0);
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(address, 65_535).await?;
        streams += client
            .open_all(STREAMS, &Method::POST, path, headers, body)
            .await?;
        clients.push(client);
    }
    Ok((clients, streams))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_gets_sixteen_streams_and_no_more() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut client = Client::connect(stage.address(), 65_535).await?;
    let headers = form_headers(1000);
    let path = "/v1/backchannel-logout";
    let body = Bytes::from_static(b"logout_token=");
    assert_eq!(client.most_streams(), STREAMS);
    let opened = client
        .open_all(1000, &Method::POST, path, &headers, &body)
        .await?;
    // One waits in the client until another ends; control counts those that came.
    assert_eq!(opened, STREAMS + 1);
    let least = (STREAMS * REQUEST_BYTES) as u64;
    stage
        .wait_until("the streams came", "unknown", |held| held >= least)
        .await?;
    let held = usize::try_from(stage.held_bytes("unknown").await?)?;
    let most = STREAMS * (REQUEST_BYTES + 1024);
    assert!(held < most, "{held} bytes");
    assert!(
        client.statuses().await.is_empty(),
        "all of them wait for their bodies"
    );
    Ok(())
}

/// Review, control 2: 8 × 250 unfinished bodies of 60 KB grew control by 129 MB.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_thousands_of_streams_hold_their_share_and_no_more() -> anyhow::Result<()> {
    let mut stage = Stage::start().await?;
    let before_kib = stage.resident_kib()?;
    for (path, length) in [
        ("/v1/backchannel-logout", 16_000),
        ("/v1/backchannel-logout", 2),
        ("/oauth2/token", 90_000),
    ] {
        let body = Bytes::from(vec![b'a'; length - 1]);
        let (mut clients, streams) = opened(stage.address(), path, &form_headers(length), &body).await?;
        assert_eq!(streams, CONNECTIONS * STREAMS, "{path}");
        let held = stage.assert_bounded(before_kib, CONNECTIONS).await?;
        assert!(held > SHARE_BYTES / 2, "{path}: only {held} bytes came");
        // Those that made room were answered 503.
        let mut told = Vec::new();
        for client in &mut clients {
            told.extend(client.statuses().await);
        }
        assert!(told.iter().all(|status| *status == 503), "{path}: {told:?}");
        assert!(
            told.len() > streams / 2 && told.len() < streams,
            "{path}: {} of {streams} made room",
            told.len()
        );
        drop(clients);
        stage.wait_until_held("unknown", 0).await?;
    }
    let growth = stage.resident_kib()?.saturating_sub(before_kib);
    assert!(growth <= most_growth_kib(CONNECTIONS), "{growth} KiB afterwards");
    Ok(())
}

/// The head is held while the body arrives.
#[tokio::test(flavor = "multi_thread")]
async fn large_heads_count_like_bodies() -> anyhow::Result<()> {
    let mut stage = Stage::start().await?;
    let before_kib = stage.resident_kib()?;
    let mut headers = form_headers(100);
    for number in 0..100 {
        let name = http::HeaderName::from_bytes(format!("x-filler-{number}").as_bytes())?;
        headers.insert(name, HeaderValue::from_str(&"v".repeat(100))?);
    }
    let body = Bytes::from_static(b"logout_token=");
    let mut attack = Vec::new();
    for round in 1..=4 {
        let (clients, streams) = opened(stage.address(), "/v1/backchannel-logout", &headers, &body).await?;
        assert_eq!(streams, CONNECTIONS * STREAMS);
        attack.push(clients);
        stage.assert_bounded(before_kib, round * CONNECTIONS).await?;
    }
    drop(attack);
    stage.wait_until_held("unknown", 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_cost_each_connection_its_own_buffer() -> anyhow::Result<()> {
    let mut stage = Stage::start().await?;
    let before_kib = stage.resident_kib()?;
    let mut open = Vec::new();
    for number in 0..4 * CONNECTIONS {
        let mut stream = TcpStream::connect(stage.address()).await?;
        let head = format!("GET /{} HTTP/1.1\r\nx: {}", "a".repeat(8_000), "b".repeat(7_900));
        let preface = format!(
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\x3f\0\0\x01\0\0\0\x01{}",
            "c".repeat(16_000)
        );
        let bytes = if number % 2 == 0 { head } else { preface };
        stream.write_all(bytes.as_bytes()).await?;
        open.push(stream);
    }
    stage.assert_bounded(before_kib, 4 * CONNECTIONS).await?;
    drop(open);
    Ok(())
}

/// An answer that its client does not take is held too.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_taken_are_bounded_and_probes_go_on() -> anyhow::Result<()> {
    let mut stage = Stage::start().await?;
    let before_kib = stage.resident_kib()?;
    let (headers, none) = (HeaderMap::new(), Bytes::new());
    for (path, window_bytes) in [
        ("/metrics", 0),
        ("/metrics", 2_000),
        ("/openapi.json", 1),
        ("/nowhere", 1),
        ("/readyz", 0),
    ] {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut client = Client::connect(stage.address(), window_bytes).await?;
            client
                .open_all(STREAMS, &Method::GET, path, &headers, &none)
                .await?;
            clients.push(client);
        }
        stage.assert_bounded(before_kib, CONNECTIONS).await?;
    }
    Ok(())
}

/// Issuers send logout tokens without a credential: one that comes whole is read, whatever other bodies are unfinished.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_that_comes_whole_is_read_while_others_fill_the_share() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let path = "/v1/backchannel-logout";
    let body = Bytes::from(vec![b'a'; 15_999]);
    let (_clients, _) = opened(stage.address(), path, &form_headers(16_000), &body).await?;
    stage.wait_until_settled().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    for _ in 0..50 {
        let answer = http
            .post(format!("http://{}{path}", stage.address()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("logout_token=a.b.c")
            .send()
            .await?;
        // Read, and no logout token.
        assert_eq!(answer.status(), 400);
    }
    Ok(())
}

/// "Rapid reset" (CVE-2023-44487): streams that are opened and reset at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_ends_its_connection_and_holds_nothing() -> anyhow::Result<()> {
    let mut stage = Stage::start().await?;
    let before_kib = stage.resident_kib()?;
    let body = Bytes::from(vec![b'a'; 8_000]);
    let mut opened = 0;
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(stage.address(), 65_535).await?;
        for _ in 0..200 {
            let path = "/v1/backchannel-logout";
            let open = client.open(Method::POST, path, form_headers(16_000), &body);
            if !open.await.unwrap_or(false) {
                break;
            }
            client.reset_last();
            opened += 1;
        }
    }
    assert!(opened > 1_000, "{opened}");
    stage.assert_bounded(before_kib, CONNECTIONS).await?;
    stage.wait_until_held("unknown", 0).await
}
