//! Runs mutations to completion even if the client disconnects: axum drops a request's future on disconnect, and a
//! sign-out must not stop half-way.

use std::sync::Arc;

use tokenward_protocol::refusal::Refusal;
use tokio_util::task::TaskTracker;

use super::Service;
use crate::refused::Refused;

/// Mutations in progress.
#[derive(Debug)]
pub(super) struct Background(TaskTracker);

impl Default for Background {
    fn default() -> Self {
        let tasks = TaskTracker::new();
        // A closed tracker still takes tasks; `wait` then returns whenever none is running.
        tasks.close();
        Self(tasks)
    }
}

impl Background {
    /// Waits until no mutation is in progress.
    pub(super) async fn wait_idle(&self) {
        self.0.wait().await;
    }
}

impl Service {
    /// Runs `work` in a task of its own, which [`Service::drain`] waits for.
    ///
    /// # Errors
    /// [`Refused`]: those of `work`; [`Refusal::Busy`] where the task panics or the runtime shuts down.
    pub(crate) async fn run_to_completion<T, F>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        let task = self.background.0.spawn(work(Arc::clone(self)));
        task.await.unwrap_or_else(|_| Err(Refusal::Busy.into()))
    }
}
