//! Whether the store is ready: it answers, and it accepts writes. All readiness probes share one result, so that the store
//! receives at most one test write per second, whatever the rate of `/readyz` requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::counted::{CountedStore, FailedOperation};
use super::{NotReady, Store as _, StoreError, self_test};

/// How long a successful self-test stays valid.
const SUCCESS_TTL: Duration = Duration::from_secs(3);
/// The same for a failed one, and for one that precedes a failed write.
const FAILURE_TTL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct LastTest {
    at: Instant,
    result: Result<(), NotReady>,
}

/// Checks the readiness of a store and caches the result of its last self-test.
#[derive(Debug)]
pub struct Readiness {
    store: Arc<CountedStore>,
    /// Bounds a whole self-test, not each of its operations.
    deadline: Duration,
    last: Mutex<Option<LastTest>>,
}

impl Readiness {
    /// The readiness of `store`; one self-test may take `deadline`.
    #[must_use]
    pub fn new(store: Arc<CountedStore>, deadline: Duration) -> Self {
        Self {
            store,
            deadline,
            last: Mutex::default(),
        }
    }

    /// Whether the store answers now and has accepted a write within the last three seconds.
    ///
    /// # Errors
    /// [`NotReady`].
    pub async fn check(&self) -> Result<(), NotReady> {
        self.store.ping().await.map_err(|error| NotReady::from(&error))?;
        // The embedded engine detects a failing disk itself, and tests a write before it uses the file again.
        if self.store.engine() == "embedded" {
            return Ok(());
        }
        let mut last = self.last.lock().await;
        if let Some(result) = last.as_ref().and_then(|test| self.cached(test)) {
            return result;
        }
        let result = self.test().await;
        *last = Some(LastTest {
            at: Instant::now(),
            result: result.clone(),
        });
        result
    }

    /// The most recent operation of the store that failed in this process.
    #[must_use]
    pub fn last_failure(&self) -> Option<FailedOperation> {
        self.store.last_failure()
    }

    /// The result of `test`, while it is valid.
    fn cached(&self, test: &LastTest) -> Option<Result<(), NotReady>> {
        let age = test.at.elapsed();
        let failed_since = self
            .store
            .last_failed_write()
            .filter(|(at, _)| *at > test.at)
            .map(|(_, reason)| reason);
        match failed_since.or_else(|| test.result.clone().err()) {
            None if age < SUCCESS_TTL => Some(Ok(())),
            Some(reason) if age < FAILURE_TTL => Some(Err(reason)),
            _ => None,
        }
    }

    async fn test(&self) -> Result<(), NotReady> {
        let late = StoreError::Late {
            operation: "self-test",
            deadline: self.deadline,
        };
        match timeout(self.deadline, self_test::run(self.store.as_ref())).await {
            Ok(result) => result.map_err(|error| NotReady::from(&error)),
            Err(_) => Err(NotReady::from(&late)),
        }
    }
}
