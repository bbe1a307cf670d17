//! The one task that writes what was recorded to the store, in batches.

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, oneshot};

use super::event::Event;
use super::history::History;
use super::pair::PairRecord;
use crate::store::StoreError;

/// Events of one append.
const BATCH: usize = 64;

/// One entry of the queue. Each carries the history of the configuration in which it was recorded, and so its sealing key.
pub(super) enum Item {
    Event { history: History, event: Box<Event> },
    Pair { history: History, pair: Box<PairRecord> },
    Flush(oneshot::Sender<()>),
}

/// Writes until the last recorder is gone.
pub(super) async fn run(mut items: mpsc::Receiver<Item>, dropped: Counter) {
    let mut writer = Writer {
        dropped,
        is_failing: false,
    };
    let mut batch = Vec::with_capacity(BATCH);
    while items.recv_many(&mut batch, BATCH).await > 0 {
        let mut events: Vec<Event> = Vec::new();
        let mut of_events: Option<History> = None;
        for item in batch.drain(..) {
            match item {
                Item::Event { history, event } => {
                    events.push(*event);
                    of_events = Some(history);
                }
                Item::Pair { history, pair } => {
                    let written = history.record_pair(&pair).await;
                    writer.report(written, 1);
                }
                Item::Flush(done) => {
                    writer.append(of_events.as_ref(), &mut events).await;
                    // The caller may have stopped waiting.
                    let _ = done.send(());
                }
            }
        }
        writer.append(of_events.as_ref(), &mut events).await;
    }
}

struct Writer {
    dropped: Counter,
    /// Whether the last write failed: one line for each time.
    is_failing: bool,
}

impl Writer {
    async fn append(&mut self, history: Option<&History>, events: &mut Vec<Event>) {
        let Some(history) = history.filter(|_| !events.is_empty()) else {
            return;
        };
        let count = events.len();
        let written = history.append(events).await;
        events.clear();
        self.report(written, u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// An outage of the store has lines of its own, so this one is a WARN only where the store refuses the operation.
    fn report(&mut self, written: Result<(), StoreError>, count: u64) {
        let Err(error) = written else {
            if std::mem::take(&mut self.is_failing) {
                tracing::info!("activity is recorded again");
            }
            return;
        };
        self.dropped.inc_by(count);
        if std::mem::replace(&mut self.is_failing, true) {
            return;
        }
        let hint = error.hint();
        if error.is_denied() {
            tracing::warn!(%error, hint, "activity is not recorded; requests are not affected");
        } else {
            tracing::debug!(%error, hint, "activity is not recorded; requests are not affected");
        }
    }
}
