//! A steady flow of requests during an update, and the module that it updates to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokenward_harness::parts::{tools, write_file};
use tokenward_harness::world::{Answer, Call};
use tokio::time::MissedTickBehavior;

/// 200 requests a second.
const EVERY: Duration = Duration::from_millis(5);
/// A machine that cannot answer so many gets no more at a time than it would in half a second.
const MOST_UNDER_WAY: usize = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Requests at a steady rate until stopped, whatever the outcome of the earlier ones.
#[derive(Debug)]
pub struct Flow {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<anyhow::Result<Vec<anyhow::Result<Answer>>>>,
}

impl Flow {
    /// Starts it: each call in turn, again and again.
    pub fn start(calls: Vec<Call>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let (stopped, counted) = (stop.clone(), answered.clone());
        let task = tokio::spawn(async move {
            let (mut under_way, mut answers) = (tokio::task::JoinSet::new(), Vec::new());
            let mut beat = tokio::time::interval(EVERY);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for call in calls.iter().cycle() {
                beat.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                if under_way.len() >= MOST_UNDER_WAY {
                    answers.extend(under_way.join_next().await.transpose()?);
                }
                let (call, counted) = (call.clone(), counted.clone());
                under_way.spawn(async move {
                    let answer = call.send().await;
                    counted.fetch_add(1, Ordering::Relaxed);
                    answer
                });
            }
            answers.extend(under_way.join_all().await);
            Ok(answers)
        });
        Self { stop, answered, task }
    }

    /// Waits until so many more were answered.
    ///
    /// # Errors
    /// When that takes more than a minute.
    pub async fn goes_on_for(&self, count: usize) -> anyhow::Result<()> {
        let end = self.answered.load(Ordering::Relaxed) + count;
        let limit = Instant::now() + Duration::from_secs(60);
        while self.answered.load(Ordering::Relaxed) < end {
            anyhow::ensure!(Instant::now() < limit, "{count} requests take too long");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Stops, and awaits what is under way.
    ///
    /// # Errors
    /// When a request got no answer.
    pub async fn end(self) -> anyhow::Result<Vec<Answer>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??.into_iter().collect()
    }
}

/// The same module with one more custom section: other bytes, the same version.
///
/// # Errors
/// When there is no module.
pub fn another_module(folder: &TempDir) -> anyhow::Result<PathBuf> {
    let mut bytes = std::fs::read(tools::filter_module()?)?;
    // Section 0, five bytes long: a name of four.
    bytes.extend_from_slice(b"\x00\x05\x04next");
    Ok(write_file(folder, "tokenward_filter.wasm", bytes)?)
}
