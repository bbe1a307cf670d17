//! What was fetched, and what was tried in vain a moment ago. Pure: every method takes `now_ms`.
//!
//! A failure is not cached: nothing is answered from it once the pause is over, and a valid copy is never replaced by it. The
//! pause only prevents that callers have control fetch one URL again and again.

use std::collections::HashMap;
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

/// Documents in the cache; each takes at most its bytes.
pub const MOST_DOCUMENTS: usize = 1000;
/// Failures that are remembered.
pub const MOST_FAILURES: usize = 10_000;
/// After a failed fetch the URL is not fetched again for this long.
pub const PAUSE: Duration = Duration::from_secs(30);
/// A copy that cannot be renewed is used for this long after its fetch.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Documents by URL.
#[derive(Debug)]
pub struct DocumentCache<T, E> {
    documents: HashMap<String, Kept<T>>,
    failures: HashMap<String, Failure<E>>,
}

#[derive(Debug)]
struct Kept<T> {
    document: T,
    fetched_at_ms: u64,
    fresh_until_ms: u64,
    used_at_ms: u64,
}

#[derive(Debug)]
struct Failure<E> {
    error: E,
    at_ms: u64,
}

/// What the cache knows of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUp<T, E> {
    /// A fresh copy.
    Fresh(T),
    /// The last fetch failed with `error`, `retry_after` before the next one.
    Paused {
        /// Why.
        error: E,
        /// When it may be fetched again.
        retry_after: Duration,
    },
    /// It is to be fetched.
    Due,
}

impl<T, E> Default for DocumentCache<T, E> {
    fn default() -> Self {
        Self {
            documents: HashMap::new(),
            failures: HashMap::new(),
        }
    }
}

impl<T: Clone, E: Clone> DocumentCache<T, E> {
    /// What is known of `url`.
    pub fn look_up(&mut self, url: &str, now_ms: u64) -> LookUp<T, E> {
        if let Some(kept) = self.documents.get_mut(url)
            // A clock that was set back does not prolong a document's life.
            && (kept.fetched_at_ms..kept.fresh_until_ms).contains(&now_ms)
        {
            kept.used_at_ms = now_ms;
            return LookUp::Fresh(kept.document.clone());
        }
        match self.failures.get(url) {
            Some(failure) if failure.lasts(now_ms) => LookUp::Paused {
                error: failure.error.clone(),
                retry_after: PAUSE.saturating_sub(Duration::from_millis(now_ms - failure.at_ms)),
            },
            _ => LookUp::Due,
        }
    }

    /// The last valid copy, fresh or not, if it is not too old.
    #[must_use]
    pub fn last_valid(&self, url: &str, now_ms: u64) -> Option<T> {
        let kept = self.documents.get(url)?;
        let age = Duration::from_millis(now_ms.saturating_sub(kept.fetched_at_ms));
        (age <= KEPT).then(|| kept.document.clone())
    }

    /// Ends the freshness of the copy of `url`, if it is at least `age` old.
    pub fn expire(&mut self, url: &str, age: Duration, now_ms: u64) {
        if let Some(kept) = self.documents.get_mut(url)
            && now_ms.saturating_sub(kept.fetched_at_ms) >= whole_ms(age)
        {
            kept.fresh_until_ms = kept.fetched_at_ms;
        }
    }

    /// Stores a document.
    pub fn store(&mut self, url: &str, document: T, fresh_for: Duration, now_ms: u64) {
        self.failures.remove(url);
        if !self.documents.contains_key(url) && self.documents.len() >= MOST_DOCUMENTS {
            let oldest = self.documents.iter().min_by_key(|(_, kept)| kept.used_at_ms);
            if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                self.documents.remove(&oldest);
            }
        }
        let kept = Kept {
            document,
            fetched_at_ms: now_ms,
            fresh_until_ms: now_ms.saturating_add(whole_ms(fresh_for)),
            used_at_ms: now_ms,
        };
        self.documents.insert(url.to_owned(), kept);
    }

    /// Remembers that `url` could not be fetched.
    pub fn failed(&mut self, url: &str, error: E, now_ms: u64) {
        if self.failures.len() >= MOST_FAILURES {
            self.failures.retain(|_, failure| failure.lasts(now_ms));
        }
        // Without a place the allowance of the source alone limits the fetches.
        if self.failures.len() < MOST_FAILURES {
            self.failures
                .insert(url.to_owned(), Failure { error, at_ms: now_ms });
        }
    }
}

impl<E> Failure<E> {
    fn lasts(&self, now_ms: u64) -> bool {
        let end_ms = self.at_ms.saturating_add(whole_ms(PAUSE));
        (self.at_ms..end_ms).contains(&now_ms)
    }
}
