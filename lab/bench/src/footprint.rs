//! What the filter holds in a real Envoy's memory of each session, each pair and each stream in flight: the growth of Envoy's
//! resident memory, less its growth without a filter. With the floor it shows what Envoy itself holds for a stream of any
//! wasm filter.

use std::sync::Arc;

use anyhow::ensure;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::Value;
use tokenward_protocol::token_endpoint::TokenRequest;

use super::gateway::{Chain, Gateway, More};
use super::load::{Load, Requests, Until};
use super::machine::{Pinning, most_open_files};
use super::made_up::Sessions;
use super::statistics::rounded;
use super::tokens;
use super::wire::{Connection, Incoming, Responder};

/// Sessions, each at one server and then at a second one. Fewer than the filter's cache of tokens takes.
const SESSIONS: u64 = 2000;
/// Streams that wait for their server, fewer where fewer files may be open: each takes two sockets of this process and two of
/// Envoy's.
const STREAMS: u64 = 1000;
/// Files that are open besides.
const OTHER_FILES: u64 = 600;
/// Requests of one session before anything is measured, and streams.
const WARM_UP: u64 = 2000;
const WARM_UP_STREAMS: u64 = 50;
/// Added to the numbers of sessions with stale tokens.
const STALE: u64 = 1 << 40;
/// A request with it is not answered.
const HOLD: &str = "x-bench-hold: 1\r\n";
const CHAINS: [&str; 3] = ["no_filter", "floor", "two"];
/// What is measured of sessions, one after the other.
const STEPS: usize = 3;

/// Bytes, without a filter, with the floor and with Tokenward's; what the last adds to the first.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Bytes {
    without_filter: f64,
    with_floor: f64,
    with_filter: f64,
    added: f64,
}

/// Bytes of Envoy's memory for each of these.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Footprint {
    sessions: u64,
    /// A session with one server: its token's claims, and the pair.
    bytes_per_session: Bytes,
    /// The same session with one more server.
    bytes_per_further_pair: Bytes,
    /// A session whose token is stale, at one server: the claims of both tokens, and the replacement itself.
    bytes_per_replaced_session: Bytes,
    streams: u64,
    /// A stream that waits for its server.
    bytes_per_stream: Bytes,
}

/// Measures in an Envoy of its own; `filter` has two servers, at `/server-0000` and `/server-0001`, and `sessions` are those
/// with fresh and those with stale tokens.
///
/// # Errors
/// When Envoy does not start, or requests are not treated as they must be.
pub(super) async fn footprint(
    pinning: Option<Pinning>,
    connections: usize,
    filters: [Value; 2],
    sessions: [Sessions; 2],
) -> anyhow::Result<Footprint> {
    let control = control(&sessions[0]).await?;
    let upstream = Responder::start(|request: Incoming<'_>| {
        let is_held = request
            .head
            .windows(HOLD.len())
            .any(|window| window == HOLD.as_bytes());
        if is_held {
            Vec::new()
        } else {
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()
        }
    })
    .await?;
    let clusters = [
        ("upstream", upstream.address()),
        ("events", upstream.address()),
        ("tokenward_control", control.address()),
    ];
    let [floor, filter] = filters;
    let chains = [
        Chain::new(CHAINS[0], Vec::new()),
        Chain::new(CHAINS[1], vec![floor]),
        Chain::new(CHAINS[2], vec![filter]),
    ];
    let gateway = Gateway::start(&chains, &clusters, &More::default(), pinning).await?;
    let mut loads = Vec::new();
    for chain in CHAINS {
        let mut load = Load::open(gateway.address(chain)?, connections, requests(&sessions), 200).await?;
        load.closed_loop(Until::Sent(WARM_UP)).await?;
        loads.push(load);
    }
    let mut held = Vec::new();
    for chain in CHAINS {
        held.extend(hold(&gateway, chain, &upstream, &sessions[0], WARM_UP_STREAMS).await?);
    }
    let mut of_requests = [[0.0; CHAINS.len()]; STEPS];
    for (step, grown) in of_requests.iter_mut().enumerate() {
        let until = WARM_UP + SESSIONS * (step as u64 + 1);
        for (load, grown) in loads.iter_mut().zip(grown) {
            let before = gateway.resident_kib()?;
            load.closed_loop(Until::Sent(until)).await?;
            *grown = per_one(before, gateway.resident_kib()?, SESSIONS);
        }
    }
    let room = most_open_files()?.saturating_sub(OTHER_FILES) / (2 * CHAINS.len() as u64);
    let streams = STREAMS.min(room.max(1));
    let mut of_streams = [0.0; CHAINS.len()];
    for (chain, grown) in CHAINS.into_iter().zip(&mut of_streams) {
        let before = gateway.resident_kib()?;
        held.extend(hold(&gateway, chain, &upstream, &sessions[0], streams).await?);
        *grown = per_one(before, gateway.resident_kib()?, streams);
    }
    let [of_session, of_pair, of_replaced] = of_requests;
    Ok(Footprint {
        sessions: SESSIONS,
        bytes_per_session: Bytes::of(of_session),
        bytes_per_further_pair: Bytes::of(of_pair),
        bytes_per_replaced_session: Bytes::of(of_replaced),
        streams,
        bytes_per_stream: Bytes::of(of_streams),
    })
}

/// One session many times, then each session at the first server, then each at the second, then those with stale tokens at
/// the first.
fn requests(sessions: &[Sessions; 2]) -> Requests {
    let sessions = sessions.clone();
    Arc::new(move |number, buffer| {
        let [fresh, stale] = &sessions;
        let Some(number) = number.checked_sub(WARM_UP) else {
            return fresh.write_request_to(0, 0, "", buffer);
        };
        let (step, session) = (number / SESSIONS, 1 + number % SESSIONS);
        match step {
            0 | 1 => fresh.write_request_to(step, session, "", buffer),
            _ => stale.write_request_to(0, STALE | session, "", buffer),
        }
    })
}

/// Control, which has a fresh token for every session.
async fn control(fresh: &Sessions) -> anyhow::Result<Responder> {
    let fresh = fresh.clone();
    Responder::start(move |request: Incoming<'_>| {
        let asked = TokenRequest::from_form(request.body).ok();
        let number = asked.and_then(|asked| Sessions::number(asked.subject_token.expose_secret()));
        let answer = number.and_then(|number| tokens::answer(&fresh.token(number)).ok());
        answer.unwrap_or_else(|| b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_vec())
    })
    .await
}

/// Opens streams of one session, once all of them have reached the upstream.
async fn hold(
    gateway: &Gateway,
    chain: &str,
    upstream: &Responder,
    sessions: &Sessions,
    streams: u64,
) -> anyhow::Result<Vec<Connection>> {
    let mut request = Vec::new();
    sessions.write_request_to(0, 0, HOLD, &mut request);
    let (address, before) = (gateway.address(chain)?, upstream.answered());
    let mut held = Vec::new();
    for _ in 0..streams {
        let mut connection = Connection::open(address).await?;
        connection.send(&request).await?;
        held.push(connection);
    }
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while upstream.answered() < before + streams {
        ensure!(
            std::time::Instant::now() < limit,
            "streams did not reach the upstream"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    gateway.settled_cpu_ns().await?;
    Ok(held)
}

fn per_one(before_kib: u64, after_kib: u64, count: u64) -> f64 {
    (after_kib as f64 - before_kib as f64) * 1024.0 / count as f64
}

impl Bytes {
    fn of([without_filter, with_floor, with_filter]: [f64; CHAINS.len()]) -> Self {
        Self {
            without_filter: rounded(without_filter),
            with_floor: rounded(with_floor),
            with_filter: rounded(with_filter),
            added: rounded(with_filter - without_filter),
        }
    }
}

impl Footprint {
    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "\n{:<28}{:>10}{:>9}{:>9}{:>9}\n",
            "bytes of Envoy's memory", "none", "floor", "filter", "added"
        );
        let rows = [
            ("a session, at one server", self.bytes_per_session),
            ("the session, at another", self.bytes_per_further_pair),
            ("a session with a stale token", self.bytes_per_replaced_session),
            ("a stream in flight", self.bytes_per_stream),
        ];
        for (name, bytes) in rows {
            let Bytes {
                without_filter,
                with_floor,
                with_filter,
                added,
            } = bytes;
            text +=
                &format!("{name:<28}{without_filter:>10.0}{with_floor:>9.0}{with_filter:>9.0}{added:>9.0}\n");
        }
        text
    }
}
