//! Dex: the real issuer of `--dex` and of the real-Dex tests, built from the Go module in tests/dex where there is Go.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::go::{Go, Stamp, shortly};
use super::{Network, install_binary};
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::version::Version;
use crate::workspace::Workspace;

const VARIABLE: &str = "DEX_BIN";
const MODULE: &str = "github.com/dexidp/dex";
const OLDEST_GO: Version = Version::new(1, 25, 0);
const LEFT_OUT: &str = "--dex and the real-Dex tests are left out";

/// Leaves Dex in target/tools, built from the versions in tests/dex/go.sum; without Go it is left out.
///
/// # Errors
/// When `DEX_BIN` names no Dex. A failed build is reported, and Dex is left out.
pub(super) fn provide(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    if let Some(given) = std::env::var_os(VARIABLE).filter(|given| !given.is_empty()) {
        let given = Path::new(&given);
        ensure_is_dex(given)
            .with_context(|| format!("{VARIABLE} is set to {}, which will not do", given.display()))?;
        return Ok(Outcome::new(
            "there",
            format!("{}, from {VARIABLE}", given.display()),
        ));
    }
    let own = workspace.tools().join("dex");
    let (pin, stamp) = (Pin::read(workspace)?, Stamp::beside(&own));
    if stamp.matches(&pin.text) && ensure_is_dex(&own).is_ok() {
        return Ok(Outcome::new(
            "there",
            format!("{}, {}", pin.version, workspace.shown(&own)),
        ));
    }
    let without = if own.is_file() {
        format!("{} stays as an earlier tests/dex made it", workspace.shown(&own))
    } else {
        LEFT_OUT.to_owned()
    };
    let Some(go) = Go::find(OLDEST_GO) else {
        return Ok(Outcome::skipped(format!("no Go ≥ 1.25 on PATH; {without}")));
    };
    step.now(format!("building {} with Go {}", pin.version, go.version));
    let package = format!("{MODULE}/cmd/dex");
    let built = go.build(
        workspace,
        step,
        network,
        (&module_folder(workspace), &package, "dex"),
    );
    if network == Network::Forbidden && built.is_err() {
        return Ok(Outcome::skipped(format!(
            "its modules are not all here, and --offline forbids to fetch them; {without}"
        )));
    }
    let built = match built {
        Ok(built) => built,
        // Everything but the real Dex works without it, and a machine with Go need not reach Go's modules.
        Err(error) => {
            let why = shortly(&error);
            return Ok(Outcome::skipped(format!(
                "Go could not build it ({why}); {without}; or set DEX_BIN"
            )));
        }
    };
    install_binary(&built, &own)?;
    drop(std::fs::remove_dir_all(built.with_file_name("")));
    ensure_is_dex(&own)?;
    stamp.write(&pin.text)?;
    Ok(Outcome::new(
        "built",
        format!("{}, {} by Go {}", pin.version, workspace.shown(&own), go.version),
    ))
}

/// # Errors
/// When it does not run here, or is another program.
fn ensure_is_dex(binary: &Path) -> Result<()> {
    ensure!(binary.is_file(), "{} is not a file", binary.display());
    let run = process::ask(Command::new(binary).arg("version"))?.succeeded("dex version")?;
    ensure!(
        run.stdout.starts_with("Dex Version:"),
        "`{} version` does not look like Dex",
        binary.display()
    );
    Ok(())
}

/// The version of Dex that tests/dex requires.
struct Pin {
    /// The module's version.
    version: String,
    /// go.mod and go.sum: whatever changes in the build changes one of them.
    text: String,
}

impl Pin {
    fn read(workspace: &Workspace) -> Result<Self> {
        let read = |name: &str| {
            let path = module_folder(workspace).join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", workspace.shown(&path)))
        };
        let (module, sums) = (read("go.mod")?, read("go.sum")?);
        let version = module
            .lines()
            .find_map(|line| {
                line.trim_start_matches("require")
                    .trim()
                    .strip_prefix(MODULE)?
                    .strip_prefix(' ')
            })
            .with_context(|| format!("tests/dex/go.mod does not require {MODULE}"))?;
        Ok(Self {
            version: version.to_owned(),
            text: format!("{module}{sums}"),
        })
    }
}

fn module_folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("tests/dex")
}
