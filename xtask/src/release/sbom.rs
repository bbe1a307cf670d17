//! Bills of materials in CycloneDX's form: the crates of control, and of the filter's module.
//!
//! cargo resolves features for the whole workspace, so that a bill can list a crate more than is linked, and none less.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::plan::Plan;
use crate::modules::run_cargo;
use crate::process;
use crate::setup::release_tools::{PLATFORMS, ReleaseTools};
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

const FILE: &str = "bill";

/// Writes one for each platform of control, whose dependencies differ, and one for the module; none without cargo-cyclonedx.
pub(super) fn make(
    workspace: &Workspace,
    terminal: &Terminal,
    tools: &ReleaseTools,
    plan: &mut Plan,
) -> Result<()> {
    let Some(cyclonedx) = &tools.sbom else {
        plan.leave_out_if(true, "the bills of materials: no cargo-cyclonedx");
        return Ok(());
    };
    terminal.step("bills of materials", |step| {
        let tree = copy_manifests(workspace, plan)?;
        let bill = |target: &str, member: &str| bill(workspace, step, cyclonedx, plan, &tree, target, member);
        let mut bills = Vec::new();
        for platform in PLATFORMS {
            let name = format!("tokenward-{}-{}", plan.version, platform.target);
            bills.push((name, bill(platform.target, "control")?));
        }
        let name = format!("tokenward-filter-{}", plan.version);
        bills.push((name, bill("wasm32-unknown-unknown", "filter/wasm")?));
        let mut counts = Vec::new();
        for (name, text) in bills {
            let file = format!("{name}.cdx.json");
            counts.push(format!("{} in {file}", components(&text)?.len()));
            std::fs::write(plan.out.join(&file), text)?;
        }
        Ok(Outcome::new(
            "written",
            format!("components: {}", counts.join(", ")),
        ))
    })
}

/// What cargo reads to resolve dependencies: cargo-cyclonedx writes beside every manifest, and not into the checkout.
fn copy_manifests(workspace: &Workspace, plan: &Plan) -> Result<PathBuf> {
    let tree = plan.scratch.join("manifests");
    if tree.exists() {
        std::fs::remove_dir_all(&tree)?;
    }
    let mut git = Command::new("git");
    git.current_dir(workspace.root())
        .args(["ls-files", "-z", "--", "*.toml", "*.rs", "Cargo.lock"]);
    let listed = process::ask(&mut git)?.succeeded("git ls-files")?.stdout;
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let place = tree.join(path);
        let folder = place.parent().context("a file without a folder")?;
        std::fs::create_dir_all(folder)?;
        std::fs::copy(workspace.root().join(path), &place).with_context(|| format!("cannot copy {path}"))?;
    }
    Ok(tree)
}

fn bill(
    workspace: &Workspace,
    step: &Step,
    cyclonedx: &Path,
    plan: &Plan,
    tree: &Path,
    target: &str,
    member: &str,
) -> Result<String> {
    step.now(format!("{member} for {target}"));
    let mut cargo = Command::new(cyclonedx);
    cargo
        .current_dir(tree)
        .env("SOURCE_DATE_EPOCH", plan.time_seconds.to_string())
        .args(["cyclonedx", "--format", "json", "--spec-version", "1.5"])
        .args(["--no-build-deps", "--quiet", "--target", target])
        .args(["--override-filename", FILE, "--manifest-path"])
        .arg(tree.join(member).join("Cargo.toml"));
    run_cargo(cargo, step, "cargo cyclonedx")?;
    let file = tree.join(member).join(format!("{FILE}.json"));
    let text = std::fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
    let text = text.replace(&tree.display().to_string(), "/tokenward");
    for path in workspace.private_paths() {
        ensure!(!text.contains(&path), "the bill of {member} contains {path}");
    }
    Ok(text)
}

/// Name and version of each component.
fn components(bill: &str) -> Result<BTreeSet<(String, String)>> {
    let bill: Value = serde_json::from_str(bill).context("the bill is no JSON")?;
    let listed = bill["components"]
        .as_array()
        .context("the bill has no components")?;
    ensure!(!listed.is_empty(), "the bill has no components");
    let field = |component: &Value, name: &str| {
        component[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("a component without {name}"))
    };
    listed
        .iter()
        .map(|component| Ok((field(component, "name")?, field(component, "version")?)))
        .collect()
}
