//! What a process has printed, kept line by line so that a test can count lines and await one.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::watch;

use crate::secrets;

/// The lines of one process, stdout and stderr together in order of arrival. Clones share the lines.
#[derive(Debug, Clone)]
pub struct LogBook {
    lines: Arc<Mutex<Vec<String>>>,
    written: Arc<watch::Sender<usize>>,
    leaks: Arc<Mutex<Vec<usize>>>,
}

impl Default for LogBook {
    fn default() -> Self {
        Self {
            lines: Arc::default(),
            written: Arc::new(watch::Sender::new(0)),
            leaks: Arc::default(),
        }
    }
}

impl LogBook {
    /// Reads `source` to its end on a thread of its own and keeps every line. Bytes that are not UTF-8 are replaced.
    pub fn follow(&self, source: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let book = self.clone();
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                book.push(
                    String::from_utf8_lossy(&line)
                        .trim_end_matches(['\n', '\r'])
                        .to_owned(),
                );
                line.clear();
            }
        })
    }

    fn push(&self, line: String) {
        let leaks = secrets::are_in(&line);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if leaks {
            let mut leaks = self.leaks.lock().unwrap_or_else(PoisonError::into_inner);
            leaks.push(lines.len());
        }
        lines.push(line);
        self.written.send_replace(lines.len());
    }

    /// How many lines there are: pass it to [`LogBook::wait_for_line_after`] to await something new.
    pub fn mark(&self) -> usize {
        *self.written.borrow()
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines_after(0)
    }

    /// The lines after a [`LogBook::mark`].
    pub fn lines_after(&self, mark: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(mark..).unwrap_or_default().to_vec()
    }

    /// Numbers, from 0, of the lines that hold a secret which was noted before they came ([`crate::secrets`]).
    pub fn leaks(&self) -> Vec<usize> {
        self.leaks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines so far satisfy `predicate`.
    pub fn count(&self, predicate: impl Fn(&str) -> bool) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| predicate(line)).count()
    }

    /// The first line that satisfies `predicate`, also one that was printed before the call.
    ///
    /// # Errors
    /// When no such line came within `deadline`; the error shows the last lines.
    pub async fn wait_for_line(
        &self,
        predicate: impl Fn(&str) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<String> {
        self.wait_for_line_after(0, predicate, deadline).await
    }

    /// Like [`LogBook::wait_for_line`], for lines after `mark` only.
    pub async fn wait_for_line_after(
        &self,
        mark: usize,
        predicate: impl Fn(&str) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<String> {
        let mut written = self.written.subscribe();
        let found = async {
            let mut seen = mark;
            loop {
                let fresh = self.lines_after(seen);
                seen += fresh.len();
                if let Some(line) = fresh.into_iter().find(|line| predicate(line)) {
                    return anyhow::Ok(line);
                }
                written
                    .wait_for(|count| *count > seen)
                    .await
                    .context("the log was dropped")?;
            }
        };
        match tokio::time::timeout(deadline, found).await {
            Ok(line) => line,
            Err(_) => bail!(
                "no such line within {deadline:?}; the log ends with:\n{}",
                self.tail(20)
            ),
        }
    }

    /// The last `count` lines as one text, for error messages.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}
