//! Takes events from the use cases: a bounded queue that never makes its caller wait.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, oneshot};

use super::event::{Event, EventKind};
use super::history::History;
use super::pair::{PairOutcome, PairRecord};
use super::seen::{Allowance, SeenPairs};
use super::writer::{self, Item};
use crate::audit::AuditLog;
use crate::observe::metrics::ActivityMetrics;
use crate::upstream::issuer::proven_tokens::TokenDigest;

/// Events and pairs that wait for the store.
const QUEUE: usize = 2048;
/// Refusals without a proven user that a replica records in one minute: a caller can make up any number of tokens, which must
/// not displace the events of real users.
const UNVERIFIED_PER_MINUTE: u32 = 60;

/// What outlives a configuration: the queue, its writer and what was recorded a moment ago.
pub struct Queue {
    sender: mpsc::Sender<Item>,
    /// Until the first event starts the writer: a runtime is certain only then.
    receiver: Mutex<Option<mpsc::Receiver<Item>>>,
    seen: SeenPairs,
    unverified: Allowance,
    metrics: ActivityMetrics,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(metrics: ActivityMetrics) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            seen: SeenPairs::default(),
            unverified: Allowance::new(60_000, UNVERIFIED_PER_MINUTE),
            metrics,
        }
    }

    fn push(&self, item: Item) {
        self.start();
        if self.sender.try_send(item).is_err() {
            self.drop_one();
        }
    }

    fn drop_one(&self) {
        self.metrics.dropped("activity");
    }

    /// Starts the writer, once.
    fn start(&self) {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        if receiver.is_none() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if let Some(receiver) = receiver.take() {
            let dropped: Counter = self.metrics.dropped_counter("activity");
            runtime.spawn(writer::run(receiver, dropped));
        }
    }
}

/// Records what happens. Cheap to clone; the default records nothing.
#[derive(Clone, Default)]
pub struct Recorder(Option<Arc<Inner>>);

struct Inner {
    history: History,
    queue: Arc<Queue>,
    audit: Option<AuditLog>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Recorder")
            .field("is_recording", &self.0.is_some())
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Records in `history` by way of `queue`, and in the audit log, if there is one.
    #[must_use]
    pub fn new(history: History, queue: Arc<Queue>, audit: Option<AuditLog>) -> Self {
        Self(Some(Arc::new(Inner {
            history,
            queue,
            audit,
        })))
    }

    /// Records `event`, or counts it as dropped. Never waits.
    pub fn record(&self, event: Event) {
        let Some(inner) = &self.0 else { return };
        let is_refusal = matches!(event.kind, EventKind::RefusalBegan | EventKind::RefusalEnded);
        if is_refusal && !event.is_user_verified && !inner.queue.unverified.take(event.at_ms) {
            inner.queue.drop_one();
            return;
        }
        if let Some(audit) = &inner.audit {
            audit.write(&event);
        }
        inner.queue.push(Item::Event {
            history: inner.history.clone(),
            event: Box::new(event),
        });
    }

    /// Whether a request of `seen` that ended in a token need not be recorded: it was a moment ago, or nothing more can be now.
    #[must_use]
    pub fn is_recorded(&self, seen: u64, now_ms: u64) -> bool {
        match &self.0 {
            Some(inner) => {
                let seen_pairs = &inner.queue.seen;
                seen_pairs.is_served(seen, now_ms) || seen_pairs.is_used_up(now_ms)
            }
            None => true,
        }
    }

    /// Records the outcome of a pair, unless the same outcome of `seen` was recorded a moment ago. Never waits.
    pub fn record_pair(&self, seen: u64, pair: PairRecord) {
        let Some(inner) = &self.0 else { return };
        let is_served = pair.outcome == PairOutcome::Token;
        if inner.queue.seen.is_due(seen, is_served, pair.at_ms) {
            inner.queue.push(Item::Pair {
                history: inner.history.clone(),
                pair: Box::new(pair),
            });
        }
    }

    /// A digest of what identifies a pair's request, for [`Recorder::is_recorded`].
    #[must_use]
    pub fn seen(&self, server: &str, session: &str, token: &TokenDigest) -> u64 {
        let hash = |inner: &Arc<Inner>| inner.queue.seen.hash((server, session, token));
        self.0.as_ref().map_or(0, hash)
    }

    /// Waits until everything that was recorded before is written, or has failed.
    pub async fn flush(&self) {
        let Some(inner) = &self.0 else { return };
        if let Some(audit) = &inner.audit {
            audit.flush().await;
        }
        let is_started = {
            let receiver = inner.queue.receiver.lock();
            receiver.unwrap_or_else(PoisonError::into_inner).is_none()
        };
        let (done, written) = oneshot::channel();
        // A queue whose writer never started is empty; one whose writer has ended stays as it is.
        if is_started && inner.queue.sender.send(Item::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}
