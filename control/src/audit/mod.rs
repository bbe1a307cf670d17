//! The audit log: one JSON line for each event, on standard output or in a file (docs/audit.md). It contains no token, no
//! secret and no session handle, but names users.
//!
//! Lines are written by a thread of its own behind a bounded queue: a full disk or a reader that does not read never delays a
//! request. What does not fit is counted.

mod file;
pub mod line;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;

use self::file::LogFile;
use crate::activity::event::Event;
use crate::observe::activity_metrics::ActivityMetrics;

/// Lines that wait for their writer.
const QUEUE: usize = 4096;

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTarget {
    /// Standard output. Control's own log is on standard error.
    StandardOutput,
    /// A file, to which lines are appended. It is opened again when another program has moved it away.
    File(PathBuf),
}

/// The audit log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the audit log {}: {source}; check audit.file and the rights on its folder", path.display())]
pub struct AuditUnusable {
    path: PathBuf,
    source: io::Error,
}

enum Entry {
    Line(String),
    Flush(oneshot::Sender<()>),
}

/// The audit log of one configuration. Cheap to clone; the writer ends with the last clone.
#[derive(Clone)]
pub struct AuditLog {
    sender: Arc<SyncSender<Entry>>,
    dropped: Counter,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AuditLog").finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Opens the audit log.
    ///
    /// # Errors
    /// [`AuditUnusable`] if the file cannot be opened, or no thread can be started.
    pub fn open(target: &AuditTarget, metrics: &ActivityMetrics) -> Result<Self, AuditUnusable> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            |source| AuditUnusable { path, source }
        };
        let (mut sink, path): (Box<dyn Sink>, PathBuf) = match target {
            AuditTarget::StandardOutput => (Box::new(StandardOutput), PathBuf::from("-")),
            AuditTarget::File(path) => {
                let file = LogFile::open(path).map_err(unusable(path))?;
                (Box::new(file), path.clone())
            }
        };
        let (sender, receiver) = sync_channel(QUEUE);
        let dropped = metrics.dropped_counter("audit");
        let failed = dropped.clone();
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(&receiver, &mut *sink, &failed))
            .map_err(unusable(&path))?;
        Ok(Self {
            sender: Arc::new(sender),
            dropped,
        })
    }

    /// Whether [`AuditLog::open`] would succeed. Changes nothing. Blocking.
    ///
    /// # Errors
    /// [`AuditUnusable`].
    pub fn check(target: &AuditTarget) -> Result<(), AuditUnusable> {
        let AuditTarget::File(path) = target else {
            return Ok(());
        };
        LogFile::check(path).map_err(|source| AuditUnusable {
            path: path.clone(),
            source,
        })
    }

    /// Writes the line of `event`, or counts it as dropped. Never waits.
    pub fn write(&self, event: &Event) {
        if self.sender.try_send(Entry::Line(line::of(event))).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until all lines before are written, or have failed.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let sender = Arc::clone(&self.sender);
        let sent = tokio::task::spawn_blocking(move || sender.send(Entry::Flush(done)).is_ok());
        if sent.await.unwrap_or(false) {
            let _ = written.await;
        }
    }
}

/// Where lines go.
trait Sink: Send {
    fn write_line(&mut self, line: &str) -> io::Result<()>;
}

struct StandardOutput;

impl Sink for StandardOutput {
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        let mut output = io::stdout().lock();
        output.write_all(line.as_bytes())?;
        output.flush()
    }
}

/// Writes until the last sender is gone.
fn write_all(entries: &Receiver<Entry>, sink: &mut dyn Sink, dropped: &Counter) {
    let mut is_failing = false;
    for entry in entries {
        let line = match entry {
            Entry::Line(line) => line,
            Entry::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        match sink.write_line(&line) {
            Ok(()) => {
                if std::mem::take(&mut is_failing) {
                    tracing::info!("the audit log is written again");
                }
            }
            Err(error) => {
                dropped.inc();
                if !std::mem::replace(&mut is_failing, true) {
                    let hint = "check its disk and its rights; lines are lost until it can be written";
                    tracing::error!(%error, hint, "the audit log cannot be written");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
