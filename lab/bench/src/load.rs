//! The load generator: closed loop for cost, open loop for latency.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::wire::Connection;

/// Writes the request with this number, counted from 0, into an empty buffer.
pub(super) type Requests = Arc<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

/// The same request, without end.
pub(super) fn same_request(request: Vec<u8>) -> Requests {
    Arc::new(move |_, buffer| buffer.extend_from_slice(&request))
}

/// Connections that send one kind of request, each answered with one status.
pub(super) struct Load {
    connections: Vec<Connection>,
    requests: Requests,
    status: u16,
    next: Arc<AtomicU64>,
}

/// What a closed loop did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    /// Requests answered.
    pub(super) requests: u64,
    /// From the first request to the last answer.
    pub(super) seconds: f64,
}

/// When a closed loop ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After a time.
    Elapsed(Duration),
    /// When this many requests have been sent, counted over the load's whole life.
    Sent(u64),
}

impl Load {
    /// Connects.
    pub(super) async fn open(
        address: SocketAddr,
        connections: usize,
        requests: Requests,
        status: u16,
    ) -> anyhow::Result<Self> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(address).await?);
        }
        Ok(Self {
            connections: open,
            requests,
            status,
            next: Arc::default(),
        })
    }

    /// Sends on every connection, the next request as soon as the answer is there. Nothing is under way afterwards.
    ///
    /// # Errors
    /// When an answer has another status than it must, or a connection ends.
    pub(super) async fn closed_loop(&mut self, until: Until) -> anyhow::Result<Done> {
        let (begun, first) = (Instant::now(), self.next.load(Ordering::Relaxed));
        let mut tasks = JoinSet::new();
        for mut connection in std::mem::take(&mut self.connections) {
            let (requests, next, status) = (Arc::clone(&self.requests), Arc::clone(&self.next), self.status);
            tasks.spawn(async move {
                let mut buffer = Vec::new();
                while !until.is_reached(begun, &next) {
                    buffer.clear();
                    requests(next.fetch_add(1, Ordering::Relaxed), &mut buffer);
                    let answered = connection.exchange(&buffer).await?;
                    ensure!(answered == status, "answered {answered} instead of {status}");
                }
                anyhow::Ok(connection)
            });
        }
        while let Some(ended) = tasks.join_next().await {
            self.connections.push(ended??);
        }
        Ok(Done {
            requests: self.next.load(Ordering::Relaxed) - first,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Sends at a fixed rate, whether answers come or not, and returns each latency in nanoseconds, counted from the
    /// moment at which the request was due: a request that waits for a free connection waits on the clock.
    ///
    /// # Errors
    /// As [`Load::closed_loop`].
    pub(super) async fn open_loop(
        &mut self,
        per_second: f64,
        duration: Duration,
    ) -> anyhow::Result<Vec<u64>> {
        let due = Arc::new(Due::default());
        let mut tasks = JoinSet::new();
        for mut connection in std::mem::take(&mut self.connections) {
            let (requests, next, status) = (Arc::clone(&self.requests), Arc::clone(&self.next), self.status);
            let due = Arc::clone(&due);
            tasks.spawn(async move {
                let (mut buffer, mut latencies) = (Vec::new(), Vec::new());
                while let Some(moment) = due.take().await {
                    buffer.clear();
                    requests(next.fetch_add(1, Ordering::Relaxed), &mut buffer);
                    let answered = connection.exchange(&buffer).await?;
                    latencies.push(u64::try_from(moment.elapsed().as_nanos())?);
                    ensure!(answered == status, "answered {answered} instead of {status}");
                }
                anyhow::Ok((connection, latencies))
            });
        }
        due.pace(per_second, duration).await;
        let mut latencies = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            let (connection, of_one) = ended??;
            self.connections.push(connection);
            latencies.extend(of_one);
        }
        Ok(latencies)
    }
}

impl Until {
    fn is_reached(self, begun: Instant, next: &AtomicU64) -> bool {
        match self {
            Self::Elapsed(duration) => begun.elapsed() >= duration,
            Self::Sent(count) => next.load(Ordering::Relaxed) >= count,
        }
    }
}

/// Moments at which requests are due and not yet taken by a connection.
#[derive(Default)]
pub(super) struct Due {
    moments: Mutex<VecDeque<Instant>>,
    more: Notify,
    ended: AtomicBool,
}

impl Due {
    /// Spins, because timers are a thousand times coarser than what is measured; sockets are served at each turn.
    pub(super) async fn pace(&self, per_second: f64, duration: Duration) {
        let begun = Instant::now();
        let mut sent = 0_u32;
        loop {
            let moment = Duration::from_secs_f64(f64::from(sent) / per_second);
            if moment >= duration {
                break;
            }
            if begun.elapsed() < moment {
                tokio::task::yield_now().await;
                continue;
            }
            self.lock().push_back(begun + moment);
            self.more.notify_one();
            sent += 1;
        }
        self.ended.store(true, Ordering::SeqCst);
        self.more.notify_waiters();
    }

    /// The same from a thread of its own that sleeps in between: for programs that need every core. A moment is noticed
    /// up to 0.1 ms late, and that counts as latency.
    pub(super) async fn pace_asleep(
        self: Arc<Self>,
        per_second: f64,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let pacing = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            for sent in 0_u32.. {
                let moment = Duration::from_secs_f64(f64::from(sent) / per_second);
                if moment >= duration {
                    break;
                }
                std::thread::sleep(moment.saturating_sub(begun.elapsed()));
                self.lock().push_back(begun + moment);
                self.more.notify_one();
            }
            self.ended.store(true, Ordering::SeqCst);
            self.more.notify_waiters();
        });
        Ok(pacing.await?)
    }

    /// The oldest moment, or `None` when there will be no more.
    pub(super) async fn take(&self) -> Option<Instant> {
        loop {
            // Registered before looking, so that no notice falls between.
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(moment) = self.lock().pop_front() {
                return Some(moment);
            }
            if self.ended.load(Ordering::SeqCst) {
                return None;
            }
            more.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Instant>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latency below which this share of them lies, microseconds; `latencies_ns` is sorted.
pub(super) fn percentile_us(latencies_ns: &[u64], share: f64) -> f64 {
    let rank = (latencies_ns.len() as f64 * share).ceil() as usize;
    let at = rank.saturating_sub(1).min(latencies_ns.len().saturating_sub(1));
    latencies_ns.get(at).map_or(0.0, |ns| *ns as f64 / 1000.0)
}
