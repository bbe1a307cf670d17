//! Appends together what several requests append at the same time: each page is one record, and a thousand sign-outs at once
//! must not write it a thousand times, or conflict with one another.

use std::sync::{Arc, Mutex, PoisonError};

use tokenward_protocol::filter_state::SignOut;
use tokio::sync::oneshot;

use super::shared_error::SharedError;
use crate::store::StoreError;

type Outcome = Result<(), SharedError>;

/// What waits to be appended.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<SignOut>,
    requests: Vec<oneshot::Sender<Outcome>>,
    /// Whether a task appends what waits.
    is_served: bool,
}

/// Gives the turn back, even if the task panics.
struct Turn<'a>(&'a Queue);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().is_served = false;
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `entries`, and returns what to wait for; `true`: the caller starts a task that calls [`Queue::serve`].
    pub(super) fn add(&self, entries: &[SignOut]) -> (oneshot::Receiver<Outcome>, bool) {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.entries.extend_from_slice(entries);
        waiting.requests.push(sender);
        let begins = !std::mem::replace(&mut waiting.is_served, true);
        (receiver, begins)
    }

    /// Appends by `append` until nothing waits.
    pub(super) async fn serve<F>(&self, append: impl Fn(Vec<SignOut>) -> F)
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let turn = Turn(self);
        loop {
            let (entries, requests) = {
                let mut waiting = self.lock();
                if waiting.requests.is_empty() {
                    // Under the same lock: what is added from now on starts a task of its own.
                    waiting.is_served = false;
                    std::mem::forget(turn);
                    return;
                }
                (
                    std::mem::take(&mut waiting.entries),
                    std::mem::take(&mut waiting.requests),
                )
            };
            let outcome = append(entries).await.map_err(SharedError::from);
            for request in requests {
                // A request that left does not wait for it.
                let _ = request.send(outcome.clone());
            }
        }
    }

    /// The outcome that a request waits for.
    pub(super) async fn outcome(receiver: oneshot::Receiver<Outcome>) -> Result<(), StoreError> {
        const OPERATION: &str = "append sign-outs";
        match receiver.await {
            Ok(outcome) => outcome.map_err(|error| error.of(OPERATION)),
            Err(gone) => Err(StoreError::Failed {
                operation: OPERATION,
                source: Box::new(gone),
            }),
        }
    }
}

/// A queue that several handles share.
pub(super) type SharedQueue = Arc<Queue>;
