//! Single-flight: however many ask for one thing, the work is done once, in a task that no caller's departure ends.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How far a flight is.
#[derive(Debug, Clone)]
pub enum Progress<V> {
    /// At work; the text says on what, for those who stop waiting.
    Working(Stage),
    /// Finished.
    Done(V),
}

/// What a flight is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The lease, or the issuer.
    Asking,
    /// The store, to keep what the issuer answered.
    Keeping,
}

/// How waiting for a flight ended.
#[derive(Debug)]
pub enum FlightOutcome<V> {
    /// With its result.
    Done(V),
    /// The caller's deadline came first; the flight goes on.
    Deadline(Stage),
    /// The flight's task ended without a result.
    Lost,
}

/// Lets a flight say what it is waiting for.
#[derive(Debug)]
pub struct Reporter<V>(watch::Sender<Progress<V>>);

impl<V> Reporter<V> {
    /// The flight is now at `stage`.
    pub fn stage(&self, stage: Stage) {
        self.0.send_replace(Progress::Working(stage));
    }
}

type Table<V> = Arc<Mutex<HashMap<String, watch::Receiver<Progress<V>>>>>;

/// The flights of one kind. Cheap to clone.
#[derive(Debug)]
pub struct SingleFlight<V> {
    table: Table<V>,
    in_flight: watch::Sender<usize>,
}

impl<V> Clone for SingleFlight<V> {
    fn clone(&self) -> Self {
        Self {
            table: Arc::clone(&self.table),
            in_flight: self.in_flight.clone(),
        }
    }
}

impl<V> Default for SingleFlight<V> {
    fn default() -> Self {
        Self {
            table: Table::default(),
            in_flight: watch::Sender::new(0),
        }
    }
}

/// Takes the flight out of the table however its task ends, a panic included.
struct Guard<V> {
    key: String,
    table: Table<V>,
    in_flight: watch::Sender<usize>,
}

impl<V> Drop for Guard<V> {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.key);
        self.in_flight
            .send_modify(|count| *count = count.saturating_sub(1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The table is consistent after every statement; a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V: Clone + Send + Sync + 'static> SingleFlight<V> {
    /// Joins the flight of `key`, or starts one with `work`, and waits for it at most `deadline`.
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
                Progress::Working(stage) => *stage,
            };
            match tokio::time::timeout_at(until, progress.changed()).await {
                Err(_) => return FlightOutcome::Deadline(stage),
                Ok(Ok(())) => {}
                // The sender went away: either right after its last word, or without one.
                Ok(Err(_)) => {
                    return match &*progress.borrow() {
                        Progress::Done(value) => FlightOutcome::Done(value.clone()),
                        Progress::Working(_) => FlightOutcome::Lost,
                    };
                }
            }
        }
    }

    /// Starts the flight of `key` with `work`, unless it is under way, and waits for nothing.
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
        let (sender, progress) = watch::channel(Progress::Working(Stage::Asking));
        table.insert(key.to_owned(), progress.clone());
        drop(table);
        self.in_flight.send_modify(|count| *count += 1);
        let landing = Guard {
            key: key.to_owned(),
            table: Arc::clone(&self.table),
            in_flight: self.in_flight.clone(),
        };
        let reporter = Arc::new(Reporter(sender));
        let flight = work(Arc::clone(&reporter));
        tokio::spawn(async move {
            let landing = landing;
            let value = flight.await;
            // Out of the table first: who comes from now on looks at the store, where the result already is.
            drop(landing);
            reporter.0.send_replace(Progress::Done(value));
        });
        progress
    }

    /// Waits until no flight is under way: for an orderly end of the process.
    pub async fn landed(&self) {
        let mut in_flight = self.in_flight.subscribe();
        // The sender lives in `self`, so this cannot fail while we wait.
        let _ = in_flight.wait_for(|count| *count == 0).await;
    }
}
