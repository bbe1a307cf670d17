//! The one writer of the embedded file: changes queue up, and each transaction takes all that wait.
//!
//! A durable commit costs one `fsync`. Writers that arrive while one is under way share the next, so a burst of
//! a thousand writes costs a handful of commits and not a thousand. A change is answered only after the commit
//! that holds it, which is what makes a rotated refresh token survive `kill -9`.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::file::{EngineFailure, OpenFile};
use super::tables::{Change, Changed, Tables};
use crate::clock::Clock;

/// Expired entries removed along with each commit, so that a file in use stays small between sweeps.
const SWEPT_PER_COMMIT: usize = 8;
/// A bound on one transaction's work, so that the first in line does not wait for a whole stampede.
const LARGEST_BATCH: usize = 256;

type Answer = Result<Changed, EngineFailure>;

struct Waiting {
    change: Change,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether a blocking task is emptying the queue right now.
    at_work: bool,
}

pub(super) struct Writer {
    file: Arc<OpenFile>,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
}

/// The right to empty the queue. A runtime that ends drops what it has not begun, and this with it: then those who wait
/// hear that it failed, and whoever comes next takes the turn.
struct Turn {
    writer: Arc<Writer>,
    over: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.writer.queue();
            queue.at_work = false;
            queue.waiting.clear();
        }
    }
}

impl Turn {
    fn empty_the_queue(mut self) {
        loop {
            let batch = self.writer.next_batch();
            if batch.is_empty() {
                // New work may have come in between; whoever queued it saw `at_work` and relies on this round.
                let mut queue = self.writer.queue();
                if queue.waiting.is_empty() {
                    queue.at_work = false;
                    drop(queue);
                    self.over = true;
                    return;
                }
                continue;
            }
            self.writer.commit(batch);
        }
    }
}

impl Writer {
    pub(super) fn new(file: Arc<OpenFile>, clock: Arc<dyn Clock>) -> Self {
        Self {
            file,
            clock,
            queue: Mutex::default(),
        }
    }

    /// Queues `change` and waits until it is on disk. A caller that goes away before the change has begun takes
    /// it back; once begun it is carried out.
    pub(super) async fn change(self: &Arc<Self>, change: Change) -> Answer {
        let (answer, answered) = oneshot::channel();
        let starts = {
            let mut queue = self.queue();
            queue.waiting.push_back(Waiting { change, answer });
            !std::mem::replace(&mut queue.at_work, true)
        };
        if starts {
            let turn = Turn {
                writer: Arc::clone(self),
                over: false,
            };
            tokio::task::spawn_blocking(move || turn.empty_the_queue());
        }
        answered.await.unwrap_or(Err(EngineFailure::Panicked))
    }

    fn next_batch(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let size = queue.waiting.len().min(LARGEST_BATCH);
        queue
            .waiting
            .drain(..size)
            .filter(|waiting| !waiting.answer.is_closed())
            .collect()
    }

    fn commit(&self, batch: Vec<Waiting>) {
        // A bug in one change must not take the writer away from all that come after.
        let applied = catch_unwind(AssertUnwindSafe(|| self.apply(&batch)));
        match applied.unwrap_or(Err(EngineFailure::Panicked)) {
            Ok(changes) => {
                for (waiting, changed) in batch.into_iter().zip(changes) {
                    // The caller may have left at its deadline; the change stands all the same.
                    let _ = waiting.answer.send(Ok(changed));
                }
            }
            Err(failure) => {
                for waiting in batch {
                    let _ = waiting.answer.send(Err(failure.clone()));
                }
            }
        }
    }

    fn apply(&self, batch: &[Waiting]) -> Result<Vec<Changed>, EngineFailure> {
        let now_ms = self.clock.now_ms();
        self.file.with(|database| {
            let transaction = database.begin_write()?;
            let mut tables = Tables::open(&transaction)?;
            let changes = batch
                .iter()
                .map(|waiting| tables.apply(&waiting.change, now_ms))
                .collect::<Result<Vec<_>, _>>()?;
            let changed = tables.changed();
            let sweeps = batch
                .iter()
                .any(|waiting| matches!(waiting.change, Change::Sweep { .. }));
            if changed && !sweeps {
                tables.sweep(SWEPT_PER_COMMIT, now_ms)?;
            }
            drop(tables);
            if changed {
                transaction.commit()?;
            } else {
                transaction.abort()?;
            }
            Ok(changes)
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
