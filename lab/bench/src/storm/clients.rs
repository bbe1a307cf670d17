//! The clients: each has one session, requests its token, and after a 503 again when `Retry-After` is over, not before.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokenward_protocol::jwt::Claims;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::stage::Requests;
use crate::wire::Connection;

/// Connections to each replica; control accepts 1,024.
const CONNECTIONS: usize = 512;
/// A session that has no token after this time fails the benchmark.
const LONGEST: Duration = Duration::from_secs(600);

/// Kept-alive connections to one replica.
struct Pool {
    address: SocketAddr,
    free: Mutex<Vec<Connection>>,
    turns: Semaphore,
}

/// What became of one session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    /// From the storm's begin to its token.
    pub(super) after: Duration,
    /// Requests for its token, the last one with success.
    pub(super) requests: u32,
    /// Seconds of its longest `Retry-After`; 0 without one.
    pub(super) longest_retry_after_seconds: u64,
}

impl Pool {
    async fn ask(&self, request: &[u8]) -> anyhow::Result<Answer> {
        let _turn = self.turns.acquire().await?;
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = free().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let (status, answer) = connection.exchange_for_answer(request).await?;
        let answer = Answer::read(status, answer)?;
        free().push(connection);
        Ok(answer)
    }
}

enum Answer {
    /// The token lives for more than a minute.
    Token,
    RetryAfter(u64),
}

impl Answer {
    fn read(status: u16, bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
        if status == 503 {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let seconds = lines.find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
            let (_, seconds) = seconds.context("503 without retry-after")?;
            return Ok(Self::RetryAfter(seconds.parse()?));
        }
        ensure!(status == 200, "the token endpoint answered {status}: {body}");
        let body: serde_json::Value = serde_json::from_str(body)?;
        let token = body["access_token"].as_str().context("no token")?;
        let claims = Claims::read(token.as_bytes()).ok().context("no JWT")?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        ensure!(claims.exp_seconds > now.as_secs() + 60, "a token that is stale");
        Ok(Self::Token)
    }
}

/// All sessions at once, one request of `requests` each; the first one to the replicas in turn, the next to another one.
///
/// # Errors
/// When a session gets another answer than its token or 503.
pub(super) async fn all_at_once(
    addresses: &[SocketAddr],
    requests: &Requests,
) -> anyhow::Result<Vec<Served>> {
    let pools: Arc<Vec<Pool>> = Arc::new(
        addresses
            .iter()
            .map(|address| Pool {
                address: *address,
                free: Mutex::default(),
                turns: Semaphore::new(CONNECTIONS),
            })
            .collect(),
    );
    let begun = Instant::now();
    let mut sessions = JoinSet::new();
    for number in 0..requests.len() {
        let (pools, requests) = (Arc::clone(&pools), Arc::clone(requests));
        sessions.spawn(async move {
            let session = one(&pools, &requests[number], number, begun);
            tokio::time::timeout(LONGEST, session)
                .await
                .context("a session without a token")?
        });
    }
    let mut served = Vec::with_capacity(requests.len());
    while let Some(ended) = sessions.join_next().await {
        served.push(ended??);
    }
    Ok(served)
}

async fn one(pools: &[Pool], request: &[u8], number: usize, begun: Instant) -> anyhow::Result<Served> {
    let (mut requests, mut longest) = (0, 0);
    loop {
        // As behind a Service: the next request goes to any replica.
        let pool = &pools[(number + requests as usize * 7) % pools.len()];
        requests += 1;
        match pool.ask(request).await? {
            Answer::Token => {
                return Ok(Served {
                    after: begun.elapsed(),
                    requests,
                    longest_retry_after_seconds: longest,
                });
            }
            Answer::RetryAfter(seconds) => {
                longest = longest.max(seconds);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        }
    }
}
