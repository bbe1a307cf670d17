//! What the aggregator writes down of every attempt.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A user's tool call: its failure is seen.
    Call,
    /// A background listener's `GET`.
    Listener,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// When the answer's head came, since the begin.
    pub(super) at: Duration,
    /// Whose.
    pub(super) user: &'static str,
    /// To which server.
    pub(super) server: String,
    pub(super) kind: Kind,
    /// HTTP status, 0 when there was no answer.
    pub(super) status: u16,
    /// Refused by the filter, not answered by a server.
    pub(super) by_gateway: bool,
    /// Whether the user's grant was alive when the request was sent.
    pub(super) alive: bool,
}

impl Attempt {
    pub(super) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// All attempts of one half.
#[derive(Debug)]
pub(super) struct Book {
    begun: Instant,
    attempts: Mutex<Vec<Attempt>>,
}

impl Book {
    pub(super) fn open() -> Self {
        Self {
            begun: Instant::now(),
            attempts: Mutex::default(),
        }
    }

    /// Time since the begin.
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    pub(super) fn write(&self, attempt: Attempt) {
        self.attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(attempt);
    }

    /// What was written so far, in order of the answers.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
