//! What becomes of requests to a real issuer on their way through the counting proxy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Endpoint;

/// The mishaps of refreshes and exchanges. Other requests have none.
#[derive(Debug, Default)]
pub(super) struct Mishaps {
    delay: Mutex<Duration>,
    lost_answers: AtomicUsize,
    lost_requests: AtomicUsize,
}

impl Mishaps {
    /// Answers come so much later from now on. The issuer has done its work at once.
    pub(super) fn set_delay(&self, delay: Duration) {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// The connections of the next `count` requests are closed after the issuer has answered.
    pub(super) fn lose_answers(&self, count: usize) {
        self.lost_answers.store(count, Ordering::SeqCst);
    }

    /// The connections of the next `count` requests are closed before the issuer sees them.
    pub(super) fn lose_requests(&self, count: usize) {
        self.lost_requests.store(count, Ordering::SeqCst);
    }

    /// Whether this request is lost before the issuer sees it.
    pub(super) fn loses_request(&self, endpoint: Endpoint) -> bool {
        concerns(endpoint) && is_one_of(&self.lost_requests)
    }

    /// Waits for the delay, and returns whether the answer is lost.
    pub(super) async fn loses_answer(&self, endpoint: Endpoint) -> bool {
        if !concerns(endpoint) {
            return false;
        }
        let delay = *self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        is_one_of(&self.lost_answers)
    }
}

fn concerns(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Refresh | Endpoint::Exchange)
}

fn is_one_of(left: &AtomicUsize) -> bool {
    let fewer = |count: usize| count.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
        .is_ok()
}
