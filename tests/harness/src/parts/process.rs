//! A child process that a test started: its output is stored, and it never outlives its guard.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::LogBook;

/// How often a condition outside this process (an exit, a file, a port) is looked at while it is awaited.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(10);

const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

/// What to start. The environment is empty but for `PATH` and what is listed here.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// Short name for error messages and the temporary folder.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
}

impl ProcessSpec {
    /// A program with arguments and nothing in its environment.
    pub fn new<A: Into<OsString>>(
        name: &str,
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
        }
    }
}

/// A running child in its own temporary folder. Dropping it kills it (SIGKILL, this child only) and reaps it.
///
/// # Panics
/// When dropped, if it has printed a token or secret ([`crate::secrets`]): no test, whatever it is about, passes then.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: LogBook,
    readers: Vec<JoinHandle<()>>,
    // Declared last: the folder goes after the process that works in it.
    folder: TempDir,
}

impl Process {
    /// Starts the program with a new temporary folder as working directory.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(spec: &ProcessSpec) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix(format!("tokenward-{}-", spec.name))?;
        let mut child = Command::new(&spec.program)
            .args(&spec.arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {} ({})", spec.name, spec.program.display()))?;
        let log = LogBook::default();
        let stdout = child.stdout.take().map(|stdout| log.follow(stdout)).transpose()?;
        let stderr = child.stderr.take().map(|stderr| log.follow(stderr)).transpose()?;
        Ok(Self {
            name: spec.name.clone(),
            child,
            log,
            readers: stdout.into_iter().chain(stderr).collect(),
            folder,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its working directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Memory that it holds (`VmRSS`), KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number
            .with_context(|| format!("{} has no VmRSS", self.name))?
            .parse()?)
    }

    /// What it has printed.
    pub fn log(&self) -> &LogBook {
        &self.log
    }

    /// How it ended, `None` while it runs.
    pub fn exit(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it SIGTERM and waits until it has ended.
    ///
    /// # Errors
    /// When it has not ended within `deadline`; it is still running then.
    pub async fn terminate(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        self.signal("TERM")?;
        self.wait_for_exit(deadline).await
    }

    /// Waits until it has ended by itself.
    pub async fn wait_for_exit(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let limit = Instant::now() + deadline;
        loop {
            if let Some(status) = self.exit()? {
                return Ok(status);
            }
            if Instant::now() > limit {
                bail!(
                    "{} has not ended within {deadline:?}:\n{}",
                    self.name,
                    self.log.tail(20)
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Ends it at once (SIGKILL) and reaps it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it where it is (SIGSTOP): its sockets stay open and nothing answers.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on after [`Process::pause`] (SIGCONT).
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    /// SIGHUP.
    pub fn hang_up(&mut self) -> anyhow::Result<()> {
        self.signal("HUP")
    }

    /// An error with the end of the log when the process has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.exit()? {
            bail!("{} has ended ({status}):\n{}", self.name, self.log.tail(30));
        }
        Ok(())
    }

    /// Waits for what was printed last. Not for long: a grandchild may hold the pipe.
    fn read_to_the_end(&self) {
        let limit = Instant::now() + LAST_WORDS_WITHIN;
        while !self.readers.iter().all(JoinHandle::is_finished) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        // A child that ended and was reaped has no pid any more: another process may have it.
        self.ensure_running()?;
        let status = Command::new("/bin/sh")
            .args([
                "-c",
                "kill -s \"$1\" \"$2\"",
                "sh",
                signal,
                &self.pid().to_string(),
            ])
            .status()?;
        ensure!(status.success(), "cannot send SIG{signal} to {}", self.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.kill();
        self.read_to_the_end();
        let leaks = self.log.leaks();
        // A second panic would end the whole test run.
        if !leaks.is_empty() && !std::thread::panicking() {
            panic!(
                "{} printed tokens or secrets in these of its lines: {leaks:?}",
                self.name
            );
        }
    }
}
