//! One program of tests that is the dependency of a Go module of its own: built where there is Go, else left out.

use std::path::Path;

use anyhow::{Context, Result};

use super::go::{Go, Stamp, shortly};
use super::{Network, install_binary};
use crate::terminal::{Outcome, Step};
use crate::version::Version;
use crate::workspace::Workspace;

/// What is built, from where, and what it is for.
pub(super) struct GoProgram {
    /// Its file name in target/tools.
    pub(super) file: &'static str,
    /// The environment variable that names another binary instead.
    pub(super) variable: &'static str,
    /// The folder with go.mod and go.sum, below the root of the workspace.
    pub(super) folder: &'static str,
    /// The module that it requires.
    pub(super) module: &'static str,
    /// The package to build.
    pub(super) package: &'static str,
    /// Flags for the linker, of the module's version.
    pub(super) linker_flags: fn(&str) -> String,
    /// The oldest Go that builds it.
    pub(super) oldest_go: Version,
    /// An error when a binary does not run here, or is another program.
    pub(super) proves: fn(&Path) -> Result<()>,
    /// What is left out without it.
    pub(super) left_out: &'static str,
}

impl GoProgram {
    /// Leaves it in target/tools, built from the versions in its folder's go.sum; without Go it is left out.
    ///
    /// # Errors
    /// When its variable names no such program. A failed build is reported, and the program is left out.
    pub(super) fn provide(&self, workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
        if let Some(given) = std::env::var_os(self.variable).filter(|given| !given.is_empty()) {
            let given = Path::new(&given);
            (self.proves)(given).with_context(|| {
                let shown = given.display();
                format!("{} is set to {shown}, which will not do", self.variable)
            })?;
            return Ok(Outcome::new(
                "there",
                format!("{}, from {}", given.display(), self.variable),
            ));
        }
        let own = workspace.tools().join(self.file);
        let (pin, stamp) = (self.pin(workspace)?, Stamp::beside(&own));
        if stamp.matches(&pin.text) && (self.proves)(&own).is_ok() {
            return Ok(Outcome::new(
                "there",
                format!("{}, {}", pin.version, workspace.shown(&own)),
            ));
        }
        let without = if own.is_file() {
            format!(
                "{} stays as an earlier {} made it",
                workspace.shown(&own),
                self.folder
            )
        } else {
            self.left_out.to_owned()
        };
        let Some(go) = Go::find(self.oldest_go) else {
            return Ok(Outcome::skipped(format!(
                "no Go ≥ {} on PATH; {without}",
                self.oldest_go
            )));
        };
        step.now(format!("building {} with Go {}", pin.version, go.version));
        let place = (workspace.root().join(self.folder), self.package, self.file);
        let flags = (self.linker_flags)(&pin.version);
        let built = go.build_with(workspace, step, network, (&place.0, place.1, place.2), &flags);
        if network == Network::Forbidden && built.is_err() {
            return Ok(Outcome::skipped(format!(
                "its modules are not all here, and --offline forbids to fetch them; {without}"
            )));
        }
        let built = match built {
            Ok(built) => built,
            // Everything but what needs this program works without it, and a machine with Go need not reach Go's modules.
            Err(error) => {
                let why = shortly(&error);
                return Ok(Outcome::skipped(format!(
                    "Go could not build it ({why}); {without}; or set {}",
                    self.variable
                )));
            }
        };
        self.install(&built, &own)?;
        stamp.write(&pin.text)?;
        Ok(Outcome::new(
            "built",
            format!("{}, {} by Go {}", pin.version, workspace.shown(&own), go.version),
        ))
    }

    fn install(&self, built: &Path, own: &Path) -> Result<()> {
        install_binary(built, own)?;
        drop(std::fs::remove_dir_all(built.with_file_name("")));
        (self.proves)(own)
    }

    fn pin(&self, workspace: &Workspace) -> Result<Pin> {
        let read = |name: &str| {
            let path = workspace.root().join(self.folder).join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", workspace.shown(&path)))
        };
        let (module, sums) = (read("go.mod")?, read("go.sum")?);
        let version = module
            .lines()
            .find_map(|line| {
                line.trim_start_matches("require")
                    .trim()
                    .strip_prefix(self.module)?
                    .strip_prefix(' ')
            })
            .with_context(|| format!("{}/go.mod does not require {}", self.folder, self.module))?;
        // What only a `tool` needs is followed by `// indirect`.
        let version = version.split_whitespace().next().unwrap_or(version);
        Ok(Pin {
            version: version.to_owned(),
            text: format!("{module}{sums}{}", self.own_sources(workspace)?),
        })
    }

    /// The files of a package of the folder itself; a dependency's are named by go.sum.
    fn own_sources(&self, workspace: &Workspace) -> Result<String> {
        let Some(package) = self.package.strip_prefix("./") else {
            return Ok(String::new());
        };
        let folder = workspace.root().join(self.folder).join(package);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", workspace.shown(&folder)))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        files.sort();
        files
            .iter()
            .map(|file| {
                std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", workspace.shown(file)))
            })
            .collect()
    }
}

/// No flags for the linker.
pub(super) fn no_flags(_version: &str) -> String {
    String::new()
}

/// The version that a folder requires.
struct Pin {
    /// The module's version.
    version: String,
    /// go.mod, go.sum and sources of our own: whatever changes in the build changes one of them.
    text: String,
}
