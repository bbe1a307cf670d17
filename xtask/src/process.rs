//! Child programs: captured with progress, echoed, or handed the terminal.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::terminal::Step;

const POLL: Duration = Duration::from_millis(20);
/// How many characters of a failed program's output are shown.
const SHOWN_OUTPUT: usize = 20_000;

/// Everything that a finished program printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The output, when the program ended well; otherwise an error with what it printed.
    pub(crate) fn succeeded(self, what: &str) -> Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        let printed = format!("{}\n{}", self.stderr.trim_end(), self.stdout.trim_end());
        let printed = printed.trim();
        let cut = printed
            .char_indices()
            .rev()
            .nth(SHOWN_OUTPUT)
            .map_or(0, |(index, _)| index);
        bail!("{what} failed ({}):\n{}", self.status, &printed[cut..])
    }
}

/// Runs `command` to its end, at most for `limit`; its last line of output is the step's activity.
///
/// # Errors
/// When the program cannot be started or ran longer than `limit` (it is killed then). A bad exit is no error here.
pub(crate) fn capture(command: &mut Command, step: &Step, limit: Duration) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let stdout = Reading::start(child.stdout.take(), Some(step.clone()), None);
    let stderr = Reading::start(child.stderr.take(), Some(step.clone()), None);
    let status = wait_at_most(&mut child, limit).with_context(|| format!("while waiting for {name}"))?;
    Ok(Finished {
        status,
        stdout: stdout.text(),
        stderr: stderr.text(),
    })
}

/// Like [`capture`] for programs that answer at once, without a step to report to.
pub(crate) fn ask(command: &mut Command) -> Result<Finished> {
    capture(command, &Step::default(), Duration::from_secs(60))
}

/// Runs `command` with its output echoed as it comes, and returns what it printed.
///
/// # Errors
/// When the program cannot be started.
pub(crate) fn echo(command: &mut Command) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let stdout = Reading::start(child.stdout.take(), None, Some(Box::new(std::io::stdout())));
    let stderr = Reading::start(child.stderr.take(), None, Some(Box::new(std::io::stderr())));
    let status = child.wait()?;
    Ok(Finished {
        status,
        stdout: stdout.text(),
        stderr: stderr.text(),
    })
}

fn wait_at_most(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("no end after {} s, killed", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

/// A pipe that is read on a thread of its own.
struct Reading {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Reading {
    fn start(
        pipe: Option<impl Read + Send + 'static>,
        step: Option<Step>,
        mut echo: Option<Box<dyn Write + Send>>,
    ) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let Some(mut pipe) = pipe else { return };
            let mut buffer = [0; 4096];
            let mut echoed = 0;
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
                collected.extend_from_slice(&buffer[..count]);
                if let Some((step, line)) = step.as_ref().zip(last_line(&collected)) {
                    step.now(line);
                }
                // Whole lines only: the other stream of the same program is echoed in between.
                let whole = collected
                    .iter()
                    .rposition(|&byte| byte == b'\n')
                    .map_or(0, |end| end + 1)
                    .max(echoed);
                echo_bytes(&mut echo, &collected[echoed..whole]);
                echoed = whole;
            }
            let collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
            echo_bytes(&mut echo, &collected[echoed..]);
        });
        Self { bytes, thread }
    }

    fn text(self) -> String {
        // A reader thread only ever ends with its pipe; if it panicked, what it read so far is still good.
        drop(self.thread.join());
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn echo_bytes(echo: &mut Option<Box<dyn Write + Send>>, bytes: &[u8]) {
    if let Some(out) = echo {
        // A reader that went away is no reason to stop the child.
        drop(out.write_all(bytes).and_then(|()| out.flush()));
    }
}

/// The last finished line, also of a line that is redrawn with carriage returns; cargo's bar becomes `12/100: tokio`.
fn last_line(output: &[u8]) -> Option<String> {
    let tail = &output[output.len().saturating_sub(600)..];
    let text = String::from_utf8_lossy(tail);
    let line = text
        .split(['\n', '\r'])
        .map(str::trim)
        .rfind(|line| !line.is_empty())?;
    let line = match line
        .strip_prefix("Building [")
        .and_then(|bar| bar.split_once("] "))
    {
        Some((_, counts)) => counts,
        None => line,
    };
    Some(line.chars().filter(|character| !character.is_control()).collect())
}
