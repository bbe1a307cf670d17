//! The stand-in's listener for a server's notifications.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a listener has got so far.
#[derive(Debug, Default)]
struct Seen {
    statuses: Mutex<Vec<u16>>,
    unanswered: AtomicUsize,
    has_stopped: AtomicBool,
}

/// A listener: `GET` with the header that the user had when it began, once a second whatever comes, until 404 or 405. It
/// ends with this guard.
#[derive(Debug)]
pub struct Listener {
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(super) fn start(http: reqwest::Client, url: String, bearer: String) -> Self {
        let seen = Arc::<Seen>::default();
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while !shared.has_stopped.load(Ordering::SeqCst) {
                let request = http.get(&url).bearer_auth(&bearer);
                match request.header("accept", "text/event-stream").send().await {
                    Ok(answer) => {
                        let status = answer.status().as_u16();
                        // Until the stream ends.
                        drop(answer.bytes().await);
                        shared
                            .statuses
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(status);
                        shared
                            .has_stopped
                            .store(matches!(status, 404 | 405), Ordering::SeqCst);
                    }
                    Err(_) => {
                        shared.unanswered.fetch_add(1, Ordering::SeqCst);
                    }
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        });
        Self { seen, task }
    }

    /// The status of each answer so far.
    pub fn statuses(&self) -> Vec<u16> {
        let statuses = self.seen.statuses.lock();
        statuses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests that got no answer at all.
    pub fn unanswered(&self) -> usize {
        self.seen.unanswered.load(Ordering::SeqCst)
    }

    /// Whether an answer has made it stop.
    pub fn has_stopped(&self) -> bool {
        self.seen.has_stopped.load(Ordering::SeqCst)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
