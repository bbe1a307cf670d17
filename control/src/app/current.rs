//! The service that answers new requests. A reload replaces it whole; requests under way finish under the old one.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Service;

/// How often a replaced service is looked at until its last request has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Holds the service that answers from now on. Cheap to clone; all clones hold the same.
#[derive(Clone)]
pub struct Current {
    service: Arc<RwLock<Arc<Service>>>,
    leaving: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Current {
    /// `service` answers.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        Self {
            service: Arc::new(RwLock::new(service)),
            leaving: Arc::default(),
        }
    }

    /// Who answers now. Take it once per request, so that one request sees one configuration.
    #[must_use]
    pub fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// `next` answers from now on. Must be called within a tokio runtime.
    pub fn replace(&self, next: Arc<Service>) {
        let old = std::mem::replace(
            &mut *self.service.write().unwrap_or_else(PoisonError::into_inner),
            next,
        );
        let gone = tokio::spawn(async move {
            // Its requests hold it; what they started at an issuer must land too.
            while Arc::strong_count(&old) > 1 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            old.landed().await;
        });
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|gone| !gone.is_finished());
        leaving.push(gone);
    }

    /// Waits until nothing is under way at an issuer, replaced services included; at most `longest`. `false`:
    /// something still is.
    pub async fn drain(&self, longest: Duration) -> bool {
        tokio::time::timeout(longest, self.landed()).await.is_ok()
    }

    /// The same without a bound: the caller has one.
    pub async fn landed(&self) {
        let leaving = std::mem::take(&mut *self.leaving.lock().unwrap_or_else(PoisonError::into_inner));
        self.service().landed().await;
        for gone in leaving {
            // An error would be a panic over there: nothing is under way then either.
            let _ = gone.await;
        }
    }
}
