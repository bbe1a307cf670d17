//! The program of xtask/release-tools: archives, images and registries.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process;
use crate::terminal::Step;

const LONGEST_CALL: Duration = Duration::from_secs(300);

/// The program, and the time that it writes into what it makes.
#[derive(Debug)]
pub(super) struct Artefacts {
    binary: PathBuf,
    time_seconds: u64,
}

/// Where an ELF file runs.
#[derive(Debug, Deserialize)]
pub(super) struct Elf {
    /// The processor, in the container platforms' words.
    pub(super) machine: String,
    /// Whether the kernel may load it at any address.
    pub(super) position_independent: bool,
    /// Whether the kernel starts a dynamic linker for it.
    pub(super) interpreter: bool,
    /// The shared libraries that it needs.
    pub(super) libraries: Vec<String>,
}

/// A registry on 127.0.0.1; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Registry {
    child: Child,
    /// `HOST:PORT`.
    pub(super) address: String,
}

impl Artefacts {
    pub(super) fn new(binary: &Path, time_seconds: u64) -> Self {
        Self {
            binary: binary.to_path_buf(),
            time_seconds,
        }
    }

    /// A .tar.gz of files: name in the archive, source, mode.
    pub(super) fn archive(&self, step: &Step, out: &Path, files: &[(String, &Path, u32)]) -> Result<()> {
        let mut command = self.command("archive");
        command.arg(self.time_seconds.to_string()).arg(out);
        for (name, source, mode) in files {
            command.arg(format!("{name}={}:{mode:o}", source.display()));
        }
        self.run(step, &mut command).map(drop)
    }

    /// Makes a .tar.gz depend on names and contents only.
    pub(super) fn repack(&self, step: &Step, file: &Path) -> Result<()> {
        let mut command = self.command("repack");
        command.arg(self.time_seconds.to_string()).arg(file);
        self.run(step, &mut command).map(drop)
    }

    /// What the ELF file needs.
    pub(super) fn elf(&self, step: &Step, file: &Path) -> Result<Elf> {
        self.json(step, self.command("elf").arg(file))
    }

    /// An image by its specification; answers with its digest.
    pub(super) fn image(&self, step: &Step, specification: &Path, out: &Path) -> Result<String> {
        self.run(step, self.command("image").arg(specification).arg(out))
    }

    /// Uploads an image; answers with the digest that the registry serves.
    pub(super) fn push(&self, step: &Step, archive: &Path, reference: &str) -> Result<String> {
        self.run(step, self.command("push").arg(archive).arg(reference))
    }

    /// The digest that a registry serves.
    pub(super) fn digest(&self, step: &Step, reference: &str) -> Result<String> {
        self.run(step, self.command("digest").arg(reference))
    }

    /// What an image holds, as a registry serves it.
    pub(super) fn served<T: DeserializeOwned>(&self, step: &Step, reference: &str) -> Result<T> {
        self.json(step, self.command("served").arg(reference))
    }

    /// Starts an empty registry.
    pub(super) fn registry(&self) -> Result<Registry> {
        let mut child = self
            .command("registry")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the registry")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the registry has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .strip_prefix("registry ")
            .context("the registry ended at once")?
            .to_owned();
        Ok(Registry { child, address })
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(verb);
        command
    }

    fn run(&self, step: &Step, command: &mut Command) -> Result<String> {
        let run = process::capture(command, step, LONGEST_CALL)?.succeeded("release-artefacts")?;
        Ok(run.stdout.trim().to_owned())
    }

    fn json<T: DeserializeOwned>(&self, step: &Step, command: &mut Command) -> Result<T> {
        let text = self.run(step, command)?;
        serde_json::from_str(&text).with_context(|| format!("unexpected answer of release-artefacts: {text}"))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
