//! What a process has printed, recorded line by line so that a test can count lines and await one.
//!
//! Whoever looks at the lines first takes in what stands in the pipes: a test that has had a process's answer also
//! counts what that process printed before it answered, however late the reading threads are.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use tokio::sync::watch;

use crate::secrets;

const PIPE_BYTES: usize = 64 * 1024;

/// The lines of one process, stdout and stderr together in order of arrival. Clones share the lines.
#[derive(Debug, Clone)]
pub struct LogBook {
    pages: Arc<Mutex<Pages>>,
    written: Arc<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct Pages {
    lines: Vec<String>,
    leaks: Vec<usize>,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    pipe: Arc<OwnedFd>,
    begun: Vec<u8>,
    has_ended: bool,
}

impl Source {
    /// The lines that are whole by now, without waiting for more. Bytes that are not UTF-8 are replaced.
    fn take_in(&mut self, mut line: impl FnMut(String)) {
        let mut chunk = vec![0; PIPE_BYTES];
        while !self.has_ended {
            match rustix::io::read(&self.pipe, &mut chunk) {
                Ok(0) => self.has_ended = true,
                Ok(length) => self.begun.extend_from_slice(&chunk[..length]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.has_ended = true,
            }
        }
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.trim_end_matches(['\n', '\r']).to_owned()
        };
        if let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.begun.split_off(end + 1);
            let whole = std::mem::replace(&mut self.begun, rest);
            whole
                .split_inclusive(|byte| *byte == b'\n')
                .map(text)
                .for_each(&mut line);
        }
        if self.has_ended && !self.begun.is_empty() {
            line(text(&std::mem::take(&mut self.begun)));
        }
    }
}

impl Default for LogBook {
    fn default() -> Self {
        Self {
            pages: Arc::default(),
            written: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl LogBook {
    /// Reads `pipe` to its end on a thread of its own and records every line.
    ///
    /// # Errors
    /// When the pipe cannot be made to answer without waiting.
    pub fn follow(&self, pipe: impl Into<OwnedFd>) -> anyhow::Result<thread::JoinHandle<()>> {
        let pipe = Arc::new(pipe.into());
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let number = pages.sources.len();
        pages.sources.push(Source {
            pipe: Arc::clone(&pipe),
            begun: Vec::new(),
            has_ended: false,
        });
        drop(pages);
        let book = self.clone();
        Ok(thread::spawn(move || {
            while !book.up_to_now().sources[number].has_ended {
                // A failure shows in the next read.
                let _ = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], None);
            }
        }))
    }

    /// The lines with all that stands in the pipes.
    fn up_to_now(&self) -> MutexGuard<'_, Pages> {
        let mut guard = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let Pages {
            lines,
            leaks,
            sources,
        } = &mut *guard;
        let known = lines.len();
        for source in sources {
            source.take_in(|line| {
                if secrets::are_in(&line) {
                    leaks.push(lines.len());
                }
                lines.push(line);
            });
        }
        if lines.len() > known {
            self.written.send_replace(lines.len());
        }
        guard
    }

    /// How many lines there are: pass it to [`LogBook::wait_for_line_after`] to await something new.
    pub fn mark(&self) -> usize {
        self.up_to_now().lines.len()
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines_after(0)
    }

    /// The lines after a [`LogBook::mark`].
    pub fn lines_after(&self, mark: usize) -> Vec<String> {
        self.up_to_now().lines.get(mark..).unwrap_or_default().to_vec()
    }

    /// Numbers, from 0, of the lines that hold a secret which was noted before they came ([`crate::secrets`]).
    pub fn leaks(&self) -> Vec<usize> {
        self.up_to_now().leaks.clone()
    }

    /// How many lines so far satisfy `predicate`.
    pub fn count(&self, predicate: impl Fn(&str) -> bool) -> usize {
        self.up_to_now()
            .lines
            .iter()
            .filter(|line| predicate(line))
            .count()
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
        let lines = &self.up_to_now().lines;
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}
