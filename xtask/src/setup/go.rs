//! Programs that are built from a Go module of this repository, where there is Go.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Network, fresh_folder};
use crate::process;
use crate::terminal::Step;
use crate::version::Version;
use crate::workspace::Workspace;

/// Two slow cores and a slow network; Envoy Gateway takes six minutes of one core.
const LONGEST_BUILD: Duration = Duration::from_secs(3600);

/// A Go that is new enough.
pub(super) struct Go {
    pub(super) version: Version,
}

impl Go {
    /// The Go on PATH, when it is not older than this.
    pub(super) fn find(oldest: Version) -> Option<Self> {
        let run = process::ask(command().arg("version")).ok()?;
        let version = Version::of_go(&run.stdout)?;
        (version >= oldest).then_some(Self { version })
    }

    /// Builds one package of the module in `module`; the path of the new binary, in a scratch folder of that name.
    ///
    /// # Errors
    /// When it does not build; the text is short enough for one line.
    pub(super) fn build(
        &self,
        workspace: &Workspace,
        step: &Step,
        network: Network,
        (module, package, name): (&Path, &str, &str),
    ) -> Result<PathBuf> {
        let place = fresh_folder(workspace, name)?.join(name);
        let mut build = command();
        build
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            // `-v` names packages as they are built: the step's progress.
            .args(["build", "-v", "-trimpath", "-ldflags", "-s -w", "-o"])
            .arg(&place)
            .arg(package);
        if network == Network::Forbidden {
            build.env("GOPROXY", "off");
        }
        process::capture(&mut build, step, LONGEST_BUILD)?.succeeded("go build")?;
        Ok(place)
    }
}

/// The Go on PATH itself: it must not fetch another one for a module.
fn command() -> Command {
    let mut go = Command::new("go");
    go.env("GOTOOLCHAIN", "local");
    go
}

/// What the binaries beside it were built from: a text that changes whenever the build would.
pub(super) struct Stamp(PathBuf);

impl Stamp {
    /// The stamp of this binary.
    pub(super) fn beside(binary: &Path) -> Self {
        Self(binary.with_extension("built-from"))
    }

    /// Whether the binary was built from this text.
    pub(super) fn matches(&self, text: &str) -> bool {
        std::fs::read_to_string(&self.0).is_ok_and(|stored| stored == text)
    }

    /// Records that the binary was built from this text.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        std::fs::write(&self.0, text).with_context(|| format!("cannot write {}", self.0.display()))
    }
}

/// An error on one line: the reason of a step that is left out.
pub(super) fn shortly(error: &anyhow::Error) -> String {
    let why = format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    why.chars().take(160).collect()
}
