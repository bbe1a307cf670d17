//! The strict issuer of the tests: the npm package that tests/oidc-provider pins, installed where there is Node.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Network;
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::version::Version;
use crate::workspace::Workspace;

const OLDEST_NODE: Version = Version::new(20, 0, 0);
/// 3 MB in 40 packages; a slow network.
const LONGEST_INSTALLATION: Duration = Duration::from_secs(300);
const LEFT_OUT: &str = "the tests on a strict issuer are left out";
/// What pins the package; an installation holds copies, which show whether it is of the current pin.
const PINS: [&str; 2] = ["package.json", "package-lock.json"];

/// Leaves the package in target/tools/oidc-provider; without Node and npm it is left out.
///
/// # Errors
/// When tests/oidc-provider or target/tools cannot be read or written. A failed installation is reported.
pub(super) fn provide(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let (pinned, own) = (
        workspace.root().join("tests/oidc-provider"),
        workspace.tools().join("oidc-provider"),
    );
    let Some(node) = node_version() else {
        return Ok(Outcome::skipped(format!("no Node ≥ 20 on PATH; {LEFT_OUT}")));
    };
    if is_installed(&pinned, &own)? {
        let detail = format!("{}, Node {node}", workspace.shown(&own));
        return Ok(Outcome::new("there", detail));
    }
    if network == Network::Forbidden {
        let why = "it is not installed, and --offline forbids to fetch it";
        return Ok(Outcome::skipped(format!("{why}; {LEFT_OUT}")));
    }
    step.now("npm ci: 40 packages, 3 MB");
    match install(&pinned, &own, step) {
        Ok(()) => Ok(Outcome::new(
            "fetched",
            format!("{} by npm, Node {node}", workspace.shown(&own)),
        )),
        // Everything but the tests on it works without it, and a machine with Node need not reach npm's packages.
        Err(error) => {
            let why = format!("{error:#}")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            let why: String = why.chars().take(160).collect();
            Ok(Outcome::skipped(format!(
                "npm could not install it ({why}); {LEFT_OUT}"
            )))
        }
    }
}

/// `v20.20.2` → 20.20.2.
fn node_version() -> Option<Version> {
    let run = process::ask(Command::new("node").arg("--version")).ok()?;
    let version = Version::parse(run.stdout.trim().strip_prefix('v')?)?;
    (version >= OLDEST_NODE).then_some(version)
}

/// The pins are copied last, so that an interrupted installation is none.
fn is_installed(pinned: &Path, own: &Path) -> Result<bool> {
    let entry = own.join("node_modules/oidc-provider/lib/index.js");
    for pin in PINS {
        let path = pinned.join(pin);
        let wanted = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if std::fs::read(own.join(pin).with_extension("installed")).ok() != Some(wanted) {
            return Ok(false);
        }
    }
    Ok(entry.is_file())
}

fn install(pinned: &Path, own: &Path, step: &Step) -> Result<()> {
    std::fs::create_dir_all(own)?;
    for pin in PINS {
        std::fs::copy(pinned.join(pin), own.join(pin))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(own)
        // No package's own scripts: it is plain JavaScript.
        .args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-update-notifier",
        ]);
    process::capture(&mut npm, step, LONGEST_INSTALLATION)?.succeeded("npm ci")?;
    ensure!(
        own.join("node_modules/oidc-provider/lib/index.js").is_file(),
        "npm left no oidc-provider"
    );
    for pin in PINS {
        std::fs::copy(pinned.join(pin), own.join(pin).with_extension("installed"))?;
    }
    Ok(())
}
