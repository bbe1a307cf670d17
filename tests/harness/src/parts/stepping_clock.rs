//! A wall clock that a test steps under a running process, by a library of our own that is preloaded into it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};

use super::TempFolder;

const SOURCE: &str = include_str!("stepping_clock.c");
const LIBRARY: &str = "stepping_clock.so";
const OFFSET: &str = "offset";

/// A clock as far from the machine's as [`SteppingClock::set_offset_seconds`] sets; at first it is the machine's.
/// Clones are the same clock.
#[derive(Debug, Clone)]
pub struct SteppingClock {
    folder: Arc<TempFolder>,
}

impl SteppingClock {
    /// Builds the library with `CC`, else `cc`.
    ///
    /// # Errors
    /// When there is no C compiler, or when a process that it is preloaded into does not see the other time.
    pub fn build() -> anyhow::Result<Self> {
        let folder = TempFolder::new("stepping-clock")?;
        let source = folder.write("stepping_clock.c", SOURCE)?;
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let built = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.join(LIBRARY))
            .arg(source)
            .output()
            .with_context(|| format!("cannot start the C compiler {}", compiler.display()))?;
        ensure!(
            built.status.success(),
            "{} cannot build the clock: {}",
            compiler.display(),
            String::from_utf8_lossy(&built.stderr)
        );
        folder.write(OFFSET, 0_i64.to_ne_bytes())?;
        let clock = Self {
            folder: Arc::new(folder),
        };
        clock.ensure_it_steps()?;
        Ok(clock)
    }

    /// Steps the clock of every process that has it, at once: so many seconds from the machine's.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn set_offset_seconds(&self, seconds: i64) -> anyhow::Result<()> {
        // In place: a file that is cut off while it is mapped would kill the process.
        let file = OpenOptions::new().write(true).open(self.folder.join(OFFSET))?;
        Ok(file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }

    /// What a process needs in its environment to live by this clock.
    pub fn environment(&self) -> [(String, String); 2] {
        let path = |name| self.folder.join(name).display().to_string();
        [
            ("LD_PRELOAD".to_owned(), path(LIBRARY)),
            ("TOKENWARD_TEST_CLOCK".to_owned(), path(OFFSET)),
        ]
    }

    fn ensure_it_steps(&self) -> anyhow::Result<()> {
        self.set_offset_seconds(-1_000_000_000)?;
        let said = Command::new("date")
            .arg("+%s")
            .envs(self.environment())
            .output()?;
        self.set_offset_seconds(0)?;
        let seconds: u64 = String::from_utf8_lossy(&said.stdout).trim().parse()?;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        ensure!(
            seconds < now - 900_000_000,
            "a preloaded library does not move a program's clock here"
        );
        Ok(())
    }
}
