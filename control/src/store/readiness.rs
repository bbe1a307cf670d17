//! Whether the store can be worked with now: it answers, and it takes writes. Shared by all probes, so that however often
//! `/readyz` is asked, a store is written to at most once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::counted::CountedStore;
use super::{Store as _, StoreError, trial};

/// How long a trial that succeeded answers for the next ones.
const GOOD_FOR: Duration = Duration::from_secs(3);
/// The same for one that failed, or after which a change was refused.
const BAD_FOR: Duration = Duration::from_secs(1);

/// Why the store cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct NotReady {
    /// For callers: [`StoreError::cause`].
    pub cause: String,
    /// For the log: the engine's own words.
    pub words: String,
}

impl NotReady {
    pub(super) fn of(error: &StoreError) -> Self {
        Self {
            cause: error.cause(),
            words: error.to_string(),
        }
    }
}

#[derive(Debug)]
struct Tried {
    at: Instant,
    result: Result<(), NotReady>,
}

/// What is known of the store.
#[derive(Debug)]
pub struct Readiness {
    store: Arc<CountedStore>,
    /// All of one trial together may take this long.
    deadline: Duration,
    last: Mutex<Option<Tried>>,
}

impl Readiness {
    /// Of `store`, whose operations may take `deadline` each.
    #[must_use]
    pub fn new(store: Arc<CountedStore>, deadline: Duration) -> Self {
        Self {
            store,
            deadline,
            last: Mutex::default(),
        }
    }

    /// Whether the store answers now and took a write in the last seconds.
    ///
    /// # Errors
    /// [`NotReady`].
    pub async fn check(&self) -> Result<(), NotReady> {
        self.store.ping().await.map_err(|error| NotReady::of(&error))?;
        // The embedded file notices by itself that its disk fails, and tries a write before it is used again.
        if self.store.engine() == "embedded" {
            return Ok(());
        }
        let mut last = self.last.lock().await;
        if let Some(result) = last.as_ref().and_then(|tried| self.still_known(tried)) {
            return result;
        }
        let result = self.tried().await;
        *last = Some(Tried {
            at: Instant::now(),
            result: result.clone(),
        });
        result
    }

    fn still_known(&self, tried: &Tried) -> Option<Result<(), NotReady>> {
        let age = tried.at.elapsed();
        let refused_since = self
            .store
            .refused_change()
            .filter(|(at, _)| *at > tried.at)
            .map(|(_, why)| why);
        match refused_since.or_else(|| tried.result.clone().err()) {
            None if age < GOOD_FOR => Some(Ok(())),
            Some(why) if age < BAD_FOR => Some(Err(why)),
            _ => None,
        }
    }

    async fn tried(&self) -> Result<(), NotReady> {
        let late = StoreError::Late {
            operation: "trial",
            deadline: self.deadline,
        };
        match timeout(self.deadline, trial::run(self.store.as_ref())).await {
            Ok(result) => result.map_err(|error| NotReady::of(&error)),
            Err(_) => Err(NotReady::of(&late)),
        }
    }
}
