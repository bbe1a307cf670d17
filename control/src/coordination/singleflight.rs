//! Single-flight: concurrent callers of one key share one task, which runs to its end even if every caller disconnects.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// The state of a flight.
#[derive(Debug, Clone)]
pub enum Progress<V> {
    /// Running, at this stage.
    Running(FlightStage),
    /// Finished.
    Done(V),
}

/// What a flight waits for; decides what a caller gets that stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlightStage {
    /// The lease, or the issuer.
    Issuer,
    /// The store, which is to take the issuer's answer.
    Store,
}

/// How a caller's wait for a flight ended.
#[derive(Debug)]
pub enum FlightOutcome<V> {
    /// The flight finished with this result.
    Done(V),
    /// The caller's deadline passed first; the flight continues.
    Deadline(FlightStage),
    /// The flight's task ended without a result.
    Lost,
}

/// Lets a flight report its stage.
#[derive(Debug)]
pub struct Reporter<V>(watch::Sender<Progress<V>>);

impl<V> Reporter<V> {
    /// The flight is now at `stage`.
    pub fn stage(&self, stage: FlightStage) {
        self.0.send_replace(Progress::Running(stage));
    }
}

type Table<V> = Arc<Mutex<HashMap<String, watch::Receiver<Progress<V>>>>>;

/// The flights of one kind. Cheap to clone: clones share the flights.
#[derive(Debug)]
pub struct SingleFlight<V> {
    /// Running flights by key. A std mutex, because it is never held across an await.
    table: Table<V>,
    tasks: TaskTracker,
}

impl<V> Clone for SingleFlight<V> {
    fn clone(&self) -> Self {
        Self {
            table: Arc::clone(&self.table),
            tasks: self.tasks.clone(),
        }
    }
}

impl<V> Default for SingleFlight<V> {
    fn default() -> Self {
        Self {
            table: Table::default(),
            tasks: TaskTracker::new(),
        }
    }
}

/// Removes the flight from the table however its task ends, a panic included.
struct Guard<V> {
    key: String,
    table: Table<V>,
}

impl<V> Drop for Guard<V> {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The table is consistent after every statement, so a panic elsewhere leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V: Clone + Send + Sync + 'static> SingleFlight<V> {
    /// Joins the flight of `key`, or starts one with `work`, and waits for its result at most `deadline`.
    pub async fn join<F, W>(&self, key: &str, deadline: Duration, work: W) -> FlightOutcome<V>
    where
        F: Future<Output = V> + Send + 'static,
        W: FnOnce(Arc<Reporter<V>>) -> F,
    {
        let until = Instant::now() + deadline;
        let mut progress = self.enter(key, work);
        loop {
            let stage = match &*progress.borrow_and_update() {
                Progress::Done(value) => return FlightOutcome::Done(value.clone()),
                Progress::Running(stage) => *stage,
            };
            match tokio::time::timeout_at(until, progress.changed()).await {
                Err(_) => return FlightOutcome::Deadline(stage),
                Ok(Ok(())) => {}
                // The sender was dropped: either right after it sent the result, or without one.
                Ok(Err(_)) => {
                    return match &*progress.borrow() {
                        Progress::Done(value) => FlightOutcome::Done(value.clone()),
                        Progress::Running(_) => FlightOutcome::Lost,
                    };
                }
            }
        }
    }

    /// Starts the flight of `key` with `work` unless one is running, and waits for nothing.
    pub fn start<F, W>(&self, key: &str, work: W)
    where
        F: Future<Output = V> + Send + 'static,
        W: FnOnce(Arc<Reporter<V>>) -> F,
    {
        drop(self.enter(key, work));
    }

    fn enter<F, W>(&self, key: &str, work: W) -> watch::Receiver<Progress<V>>
    where
        F: Future<Output = V> + Send + 'static,
        W: FnOnce(Arc<Reporter<V>>) -> F,
    {
        let mut table = lock(&self.table);
        if let Some(progress) = table.get(key) {
            return progress.clone();
        }
        let (sender, progress) = watch::channel(Progress::Running(FlightStage::Issuer));
        table.insert(key.to_owned(), progress.clone());
        drop(table);
        let guard = Guard {
            key: key.to_owned(),
            table: Arc::clone(&self.table),
        };
        let reporter = Arc::new(Reporter(sender));
        let flight = work(Arc::clone(&reporter));
        let task = async move {
            let guard = guard;
            let value = flight.await;
            // Removed from the table first: a later caller reads the store, which already has the result.
            drop(guard);
            reporter.0.send_replace(Progress::Done(value));
        };
        // A part of the trace of the request that started it.
        self.tasks.spawn(task.in_current_span());
        progress
    }

    /// Returns when no flight is running: for an orderly end of the process.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
