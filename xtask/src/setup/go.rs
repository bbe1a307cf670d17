//! Programs that are built from a Go module of this repository, where there is Go.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Network, fresh_folder};
use crate::process;
use crate::terminal::Step;
use crate::version::Version;
use crate::workspace::Workspace;

/// Two slow cores and a slow network; Envoy Gateway takes six minutes of one core.
const LONGEST_BUILD: Duration = Duration::from_secs(3600);
const LONGEST_DOWNLOAD: Duration = Duration::from_secs(600);

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
        package: (&Path, &str, &str),
    ) -> Result<PathBuf> {
        self.build_with(workspace, step, network, package, "")
    }

    /// The same, with flags for the linker besides those of every build.
    ///
    /// # Errors
    /// When it does not build; the text is short enough for one line.
    pub(super) fn build_with(
        &self,
        workspace: &Workspace,
        step: &Step,
        network: Network,
        (module, package, name): (&Path, &str, &str),
        linker_flags: &str,
    ) -> Result<PathBuf> {
        let place = fresh_folder(workspace, name)?.join(name);
        let mut build = command();
        build
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            // `-v` names packages as they are built: the step's progress.
            .args(["build", "-v", "-trimpath", "-ldflags"])
            .arg(format!("-s -w {linker_flags}"))
            .arg("-o")
            .arg(&place)
            .arg(package);
        if network == Network::Forbidden {
            build.env("GOPROXY", "off");
        }
        process::capture(&mut build, step, LONGEST_BUILD)?.succeeded("go build")?;
        Ok(place)
    }
}

/// The zip of a module's release as the module proxy gives it, and the module's sum.
///
/// A module for a newer Go than this one is fetched too, and then `go` exits with an error: what counts is the sum.
///
/// # Errors
/// When there is no Go, or it cannot get the module.
pub(super) fn module_zip(
    step: &Step,
    network: Network,
    module: &str,
    version: &str,
) -> Result<(PathBuf, String)> {
    let mut download = command();
    download.args(["mod", "download", "-json"]);
    download.arg(format!("{module}@{version}"));
    // Outside of any module: no go.mod takes part.
    download.current_dir(std::env::temp_dir());
    if network == Network::Forbidden {
        download.env("GOPROXY", "off");
    }
    let run = process::capture(&mut download, step, LONGEST_DOWNLOAD)?;
    let answer: Downloaded = serde_json::from_str(&run.stdout)
        .with_context(|| format!("go mod download {module}: {}", run.stderr.trim()))?;
    match (answer.zip, answer.sum) {
        (Some(zip), Some(sum)) => Ok((zip, sum)),
        _ => bail!("go mod download {module}: {}", answer.error.unwrap_or_default()),
    }
}

/// What `go mod download -json` prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    zip: Option<PathBuf>,
    sum: Option<String>,
    error: Option<String>,
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
