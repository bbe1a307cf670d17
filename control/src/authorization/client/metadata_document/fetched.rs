//! Documents of one kind with their cache: one fetch at a time for each URL, few at a time in all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::DocumentError;
use super::cache::{DocumentCache, LookUp, PAUSE};
use super::document::BadDocument;
use super::fetch::{FETCH_TIMEOUT, FetchError, Fetcher};
use super::url::DocumentUrl;
use crate::authorization::source::{Allowance, Source, SourceLimits};
use crate::clock::Clock;
use crate::context::Context;
use crate::coordination::singleflight::{FlightOutcome, SingleFlight};

/// Fetches at a time.
const MAX_CONCURRENT: usize = 16;
/// How long a caller waits for a fetch: a little longer than the fetch may take.
const PATIENCE: Duration = Duration::from_secs(FETCH_TIMEOUT.as_secs() + 1);

/// Documents of one kind.
#[derive(Debug)]
pub(super) struct FetchedDocuments<T> {
    fetcher: Fetcher,
    max_bytes: usize,
    cache: Arc<Mutex<DocumentCache<T, DocumentError>>>,
    flights: SingleFlight<Result<T, DocumentError>>,
    slots: Arc<Semaphore>,
    limits: Arc<SourceLimits>,
    clock: Arc<dyn Clock>,
}

impl<T: Clone + Send + Sync + 'static> FetchedDocuments<T> {
    pub(super) fn new(
        fetcher: Fetcher,
        limits: &Arc<SourceLimits>,
        context: &Context,
        max_bytes: usize,
    ) -> Self {
        Self {
            fetcher,
            max_bytes,
            cache: Arc::default(),
            flights: SingleFlight::default(),
            slots: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            limits: Arc::clone(limits),
            clock: Arc::clone(&context.clock),
        }
    }

    /// These, with the documents and pauses that `earlier` has.
    pub(super) fn with_cache_of(mut self, earlier: &Self) -> Self {
        self.cache = Arc::clone(&earlier.cache);
        self
    }

    /// The document at `url`, and how it was found: `cached`, `fetched`, or `last_valid` if it cannot be fetched, there is a
    /// copy, and `keep_last` is set.
    pub(super) async fn get<R>(
        &self,
        url: &DocumentUrl,
        source: Source,
        keep_last: bool,
        read: R,
    ) -> Result<(T, &'static str), DocumentError>
    where
        R: FnOnce(&[u8]) -> Result<T, BadDocument> + Send + 'static,
    {
        let key = url.url().as_str();
        let known = lock(&self.cache).look_up(key, self.clock.now_ms());
        let error = match known {
            LookUp::Fresh(document) => return Ok((document, "cached")),
            LookUp::Paused { error, retry_after } => DocumentError::Paused {
                error: Box::new(error),
                retry_after,
            },
            LookUp::Due => match self.fetch(url, source, read).await {
                Ok(document) => return Ok((document, "fetched")),
                Err(error) => error,
            },
        };
        // What the document now states counts, however bad; only its absence is bridged.
        let is_absent = match &error {
            DocumentError::Paused { error, .. } => matches!(**error, DocumentError::Fetch(_)),
            DocumentError::Fetch(_) | DocumentError::Busy | DocumentError::Source(_) => true,
            _ => false,
        };
        let last = (keep_last && is_absent)
            .then(|| lock(&self.cache).last_valid(key, self.clock.now_ms()))
            .flatten();
        last.map(|document| (document, "last_valid")).ok_or(error)
    }

    /// Has the next [`Self::get`] fetch `url` again, unless its copy was fetched a moment ago.
    pub(super) fn expire(&self, url: &DocumentUrl) {
        lock(&self.cache).expire(url.url().as_str(), PAUSE, self.clock.now_ms());
    }

    async fn fetch<R>(&self, url: &DocumentUrl, source: Source, read: R) -> Result<T, DocumentError>
    where
        R: FnOnce(&[u8]) -> Result<T, BadDocument> + Send + 'static,
    {
        self.limits
            .take(source, Allowance::DocumentFetch, self.clock.now_ms())?;
        let (fetcher, max_bytes) = (self.fetcher.clone(), self.max_bytes);
        let (cache, slots, clock) = (
            Arc::clone(&self.cache),
            Arc::clone(&self.slots),
            Arc::clone(&self.clock),
        );
        let url = url.url().clone();
        let key = url.as_str().to_owned();
        let flight = self
            .flights
            .join(&key, PATIENCE, |_| async move {
                let Ok(_slot) = slots.try_acquire() else {
                    return Err(DocumentError::Busy);
                };
                let found = match fetcher.get(&url, max_bytes).await {
                    Ok(fetched) => match read(&fetched.body) {
                        Ok(document) => Ok((document, fetched.fresh_for)),
                        Err(bad) => Err(DocumentError::Bad(bad)),
                    },
                    Err(error) => Err(DocumentError::Fetch(error)),
                };
                let mut cache = lock(&cache);
                match found {
                    Ok((document, fresh_for)) => {
                        cache.store(url.as_str(), document.clone(), fresh_for, clock.now_ms());
                        Ok(document)
                    }
                    Err(error) => {
                        cache.failed(url.as_str(), error.clone(), clock.now_ms());
                        Err(error)
                    }
                }
            })
            .await;
        match flight {
            FlightOutcome::Done(found) => found,
            FlightOutcome::Deadline(_) => Err(FetchError::TimedOut.into()),
            FlightOutcome::Lost => Err(FetchError::Broken.into()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The cache is consistent after every statement, so a panic elsewhere leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
