//! The single writer of the embedded file: changes queue up, and each transaction applies all queued changes.
//!
//! A durable commit costs one `fsync`. Changes that arrive during a commit share the next one, so a burst of a thousand
//! writes costs a handful of commits. A change is acknowledged only after the commit that contains it, so that a rotated
//! refresh token survives `kill -9`.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::change::{Change, ChangeOutcome};
use super::file::{FileError, OpenFile};
use super::tables::Tables;
use crate::clock::Clock;

/// Expired entries that each commit removes as well, so that a file in use stays small between sweeps.
const SWEEP_PER_COMMIT: usize = 8;
/// Bounds the work of one transaction, so that the first caller does not wait for a whole burst.
const MAX_BATCH: usize = 256;

type ChangeResult = Result<ChangeOutcome, FileError>;

struct Pending {
    change: Change,
    reply: oneshot::Sender<ChangeResult>,
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    /// Whether a blocking task is draining the queue now.
    is_draining: bool,
}

pub(super) struct Writer {
    file: Arc<OpenFile>,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
}

/// The task that drains the queue. A runtime that shuts down drops a task that has not started, and this with it: the
/// pending callers then receive an error, and the next change starts another task.
struct Drain {
    writer: Arc<Writer>,
    is_finished: bool,
}

impl Drop for Drain {
    fn drop(&mut self) {
        if !self.is_finished {
            let mut queue = self.writer.queue();
            queue.is_draining = false;
            queue.pending.clear();
        }
    }
}

impl Drain {
    fn run(mut self) {
        loop {
            let batch = self.writer.next_batch();
            if batch.is_empty() {
                // A change may have been queued in between: its caller saw `is_draining` and relies on this task.
                let mut queue = self.writer.queue();
                if queue.pending.is_empty() {
                    queue.is_draining = false;
                    drop(queue);
                    self.is_finished = true;
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

    /// Queues `change` and waits until it is on disk. Dropping the future before the change has started cancels it; a
    /// started change runs to completion.
    pub(super) async fn change(self: &Arc<Self>, change: Change) -> ChangeResult {
        let (reply, replied) = oneshot::channel();
        let starts = {
            let mut queue = self.queue();
            queue.pending.push_back(Pending { change, reply });
            !std::mem::replace(&mut queue.is_draining, true)
        };
        if starts {
            let drain = Drain {
                writer: Arc::clone(self),
                is_finished: false,
            };
            tokio::task::spawn_blocking(move || drain.run());
        }
        replied.await.unwrap_or(Err(FileError::Panicked))
    }

    fn next_batch(&self) -> Vec<Pending> {
        let mut queue = self.queue();
        let size = queue.pending.len().min(MAX_BATCH);
        queue
            .pending
            .drain(..size)
            .filter(|pending| !pending.reply.is_closed())
            .collect()
    }

    fn commit(&self, batch: Vec<Pending>) {
        // A panic in one change must not stop the writer for all later ones.
        let applied = catch_unwind(AssertUnwindSafe(|| self.apply(&batch)));
        match applied.unwrap_or(Err(FileError::Panicked)) {
            Ok(outcomes) => {
                for (pending, outcome) in batch.into_iter().zip(outcomes) {
                    // The caller may have reached its deadline; the change is applied nevertheless.
                    let _ = pending.reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                for pending in batch {
                    let _ = pending.reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn apply(&self, batch: &[Pending]) -> Result<Vec<ChangeOutcome>, FileError> {
        let now_ms = self.clock.now_ms();
        self.file.with(|database| {
            let transaction = database.begin_write()?;
            let mut tables = Tables::open(&transaction)?;
            let outcomes = batch
                .iter()
                .map(|pending| tables.apply(&pending.change, now_ms))
                .collect::<Result<Vec<_>, _>>()?;
            let is_modified = tables.is_modified();
            let sweeps = batch
                .iter()
                .any(|pending| matches!(pending.change, Change::Sweep { .. }));
            if is_modified && !sweeps {
                tables.sweep(SWEEP_PER_COMMIT, now_ms)?;
            }
            drop(tables);
            if is_modified {
                transaction.commit()?;
            } else {
                transaction.abort()?;
            }
            Ok(outcomes)
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
