//! The service for new requests. A reload replaces it as a whole; requests in progress finish with the service that
//! they began with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::resource_servers::ResourceServers;
use super::{Service, samples};

/// How often a replaced service is polled until its last request has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Handle to the service for new requests. Cheap to clone; all clones share one service.
#[derive(Clone)]
pub struct Current {
    service: Arc<RwLock<Arc<Service>>>,
    /// One task for each replaced service that still has work in progress.
    replaced: TaskTracker,
    /// The servers that come from Kubernetes. Held while a service is replaced, so that a reload and a change of resources
    /// follow each other.
    resources: Arc<Mutex<ResourceServers>>,
}

impl Current {
    /// Starts with `service`.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        let resources = ResourceServers::without(&service.config);
        Self::with_resources(service, resources)
    }

    /// Starts with `service`, whose servers include those of `resources`.
    pub(crate) fn with_resources(service: Arc<Service>, resources: ResourceServers) -> Self {
        let replaced = TaskTracker::new();
        // A closed tracker still takes tasks; `wait` then returns whenever none is running.
        replaced.close();
        Self {
            service: Arc::new(RwLock::new(service)),
            replaced,
            resources: Arc::new(Mutex::new(resources)),
        }
    }

    /// The servers that come from Kubernetes, for a change of the service.
    pub(crate) fn resources(&self) -> MutexGuard<'_, ResourceServers> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present service. Call this once per request, so that one request sees one configuration.
    #[must_use]
    pub fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes `next` the service for new requests. Must be called within a tokio runtime.
    pub fn replace(&self, next: Arc<Service>) {
        // The calls to issuers that its requests started must finish too.
        self.succeed(next, |old| async move { old.wait_idle().await });
    }

    /// The same for a `next` that shares everything with the present service but its servers: what is in progress there is in
    /// progress in `next` too, and under load never ends.
    pub(crate) fn replace_servers(&self, next: Arc<Service>) {
        self.succeed(next, |old| async move { old.wait_for_mutations().await });
    }

    /// Replaces the service; `ends` waits for what the old one has started, once no request holds it any more.
    fn succeed<E>(&self, next: Arc<Service>, ends: impl FnOnce(Arc<Service>) -> E + Send + 'static)
    where
        E: Future<Output = ()> + Send,
    {
        let old = std::mem::replace(
            &mut *self.service.write().unwrap_or_else(PoisonError::into_inner),
            next,
        );
        let current = self.clone();
        self.replaced.spawn(async move {
            while Arc::strong_count(&old) > 1 {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            ends(Arc::clone(&old)).await;
            current.end_samples_of(&old);
        });
    }

    /// `old` counts nothing any more.
    fn end_samples_of(&self, old: &Service) {
        // The service does not change meanwhile: a server that comes back has its counters.
        let _held = self.resources();
        let present = self.service();
        samples::end(present.metrics(), &old.config, &present.config);
    }

    /// Waits at most `timeout` until no call to an issuer and no mutation is in progress, replaced services included.
    /// `false`: some still are.
    pub async fn drain(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.wait_idle()).await.is_ok()
    }

    /// [`Current::drain`] without a timeout: the caller has one.
    pub async fn wait_idle(&self) {
        self.service().wait_idle().await;
        self.replaced.wait().await;
    }
}
