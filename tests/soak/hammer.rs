//! Persistent connections that never rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use tokenward_harness::world::Call;
use tokio::task::JoinSet;

/// Makes the call with this number, counted from 0; `None` ends the connection.
pub(crate) type Calls = Arc<dyn Fn(u64) -> Option<Call> + Send + Sync>;

/// Load that is under way.
pub(crate) struct Hammer {
    sent: Arc<AtomicU64>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Hammer {
    /// Starts `connections` to where `example` goes. Each answer must have `status`.
    pub(crate) async fn start(
        connections: usize,
        example: &Call,
        status: u16,
        calls: &Calls,
    ) -> anyhow::Result<Self> {
        let (sent, mut tasks) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        for _ in 0..connections {
            let mut lane = example.lane().await?;
            let (sent, calls) = (Arc::clone(&sent), Arc::clone(calls));
            tasks.spawn(async move {
                while let Some(call) = calls(sent.fetch_add(1, Ordering::Relaxed)) {
                    let answered = lane.exchange(&call).await?;
                    ensure!(answered == status, "answered {answered} instead of {status}");
                }
                Ok(())
            });
        }
        Ok(Self { sent, tasks })
    }

    /// Requests begun so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until all connections have ended, for `span` at the most; whether they have.
    ///
    /// # Errors
    /// When an answer was not as it must be.
    pub(crate) async fn ends_within(&mut self, span: Duration) -> anyhow::Result<bool> {
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(span, all).await {
            Ok(ended) => ended.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}
