//! Callers: connections that request tokens, or read raw bytes from Valkey, in a closed or an open loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::logins::Refresher;
use crate::load::Due;
use crate::wire::Connection;

/// Prebuilt requests, sent in turn.
pub(super) type Requests = Arc<Vec<Vec<u8>>>;

/// One caller: sends, waits for the answer, sends again.
pub(super) enum Client {
    /// `POST /oauth2/token` on a connection of its own; everything but a 200 is an error.
    Token {
        /// Kept alive.
        connection: Connection,
        /// What it requests.
        requests: Requests,
    },
    /// `POST /token` with a refresh token, each time the one of the answer before.
    Refresh(Refresher),
    /// `GET` through the client library that control uses; its clones share one connection.
    Get {
        /// The shared connection.
        connection: MultiplexedConnection,
        /// What is read.
        key: &'static str,
        /// How long the value is; another length is an error.
        bytes: usize,
    },
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Answers.
    pub(super) requests: u64,
    /// From the first question to the last answer.
    pub(super) seconds: f64,
    /// Each answer's latency, sorted.
    pub(super) latencies_ns: Vec<u64>,
}

impl Done {
    /// What was done at the same time.
    pub(super) fn join(&mut self, other: Self) {
        self.requests += other.requests;
        self.seconds = self.seconds.max(other.seconds);
        self.latencies_ns.extend(other.latencies_ns);
        self.latencies_ns.sort_unstable();
    }
}

/// When a closed loop ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After a time.
    Elapsed(Duration),
    /// After so many requests of all clients together.
    Sent(u64),
}

impl Client {
    /// So many callers at each of these control services.
    pub(super) async fn at(
        addresses: &[SocketAddr],
        callers: usize,
        requests: &Requests,
    ) -> anyhow::Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(callers);
        for (_, address) in (0..callers).zip(addresses.iter().cycle()) {
            clients.push(Self::Token {
                connection: Connection::open(*address).await?,
                requests: Arc::clone(requests),
            });
        }
        Ok(clients)
    }

    async fn ask(&mut self, number: u64) -> anyhow::Result<()> {
        match self {
            Self::Token { connection, requests } => {
                let at = usize::try_from(number)? % requests.len();
                let status = connection.exchange(&requests[at]).await?;
                ensure!(status == 200, "the token endpoint answered {status}");
            }
            Self::Refresh(refresher) => refresher.refresh().await?,
            Self::Get {
                connection,
                key,
                bytes,
            } => {
                let value: Vec<u8> = redis::cmd("GET").arg(*key).query_async(connection).await?;
                ensure!(value.len() == *bytes, "{} bytes instead of {bytes}", value.len());
            }
        }
        Ok(())
    }
}

/// Every caller sends the next request as soon as it has the answer.
///
/// # Errors
/// When one answer is not what it must be.
pub(super) async fn closed_loop(clients: Vec<Client>, until: Until) -> anyhow::Result<Done> {
    let (begun, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let mut latencies_ns = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let over = match until {
                    Until::Elapsed(duration) => begun.elapsed() >= duration,
                    Until::Sent(count) => number >= count,
                };
                if over {
                    return anyhow::Ok(latencies_ns);
                }
                let sent = Instant::now();
                client.ask(number).await?;
                latencies_ns.push(u64::try_from(sent.elapsed().as_nanos())?);
            }
        });
    }
    let latencies_ns = gathered(tasks).await?;
    Ok(Done {
        requests: latencies_ns.len() as u64,
        seconds: begun.elapsed().as_secs_f64(),
        latencies_ns,
    })
}

/// Questions become due at a fixed rate, whether answers come or not; a latency counts from that moment.
///
/// # Errors
/// As [`closed_loop`].
pub(super) async fn open_loop(
    clients: Vec<Client>,
    per_second: f64,
    duration: Duration,
) -> anyhow::Result<Done> {
    let (begun, due) = (Instant::now(), Arc::new(Due::default()));
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (due, next) = (Arc::clone(&due), Arc::clone(&next));
        tasks.spawn(async move {
            let mut latencies_ns = Vec::new();
            while let Some(moment) = due.take().await {
                client.ask(next.fetch_add(1, Ordering::Relaxed)).await?;
                latencies_ns.push(u64::try_from(moment.elapsed().as_nanos())?);
            }
            anyhow::Ok(latencies_ns)
        });
    }
    due.pace_asleep(per_second, duration).await?;
    let latencies_ns = gathered(tasks).await?;
    Ok(Done {
        requests: latencies_ns.len() as u64,
        seconds: begun.elapsed().as_secs_f64(),
        latencies_ns,
    })
}

async fn gathered(mut tasks: JoinSet<anyhow::Result<Vec<u64>>>) -> anyhow::Result<Vec<u64>> {
    let mut latencies_ns = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        latencies_ns.extend(ended??);
    }
    latencies_ns.sort_unstable();
    Ok(latencies_ns)
}
