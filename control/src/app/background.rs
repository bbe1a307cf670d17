//! What a caller asked to be changed is done to its end, also when the caller leaves: axum drops the future of a request
//! whose client has gone, and half a sign-out is none.

use std::sync::Arc;

use tokenward_protocol::refusal::Refusal;
use tokio::sync::watch;

use super::Service;
use crate::refused::Refused;

/// The changes that are under way.
#[derive(Debug)]
pub(super) struct Background(watch::Sender<usize>);

impl Default for Background {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

/// One of them; counted until it is dropped, however its task ends.
struct Errand(Arc<Service>);

impl Drop for Errand {
    fn drop(&mut self) {
        let under_way = &self.0.errands.0;
        under_way.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Background {
    /// Waits until none is under way.
    pub(super) async fn done(&self) {
        let mut under_way = self.0.subscribe();
        // The sender lives in `self`, so this cannot fail while we wait.
        let _ = under_way.wait_for(|count| *count == 0).await;
    }
}

impl Service {
    /// Does `work` in a task of its own, which [`Service::drain`] waits for.
    ///
    /// # Errors
    /// [`Refused`]: those of `work`.
    pub async fn run_to_completion<T, F>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        self.errands.0.send_modify(|count| *count += 1);
        let errand = Errand(Arc::clone(self));
        let work = work(Arc::clone(self));
        let task = tokio::spawn(async move {
            let _errand = errand;
            work.await
        });
        // Only a panic or the end of the runtime leaves it without a result.
        task.await.unwrap_or_else(|_| Err(Refusal::Busy.into()))
    }
}
