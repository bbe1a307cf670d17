//! The licences of what is linked into control and the module: most of them must go with every copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::plan::Plan;
use crate::process;
use crate::setup::release_tools::{PLATFORMS, ReleaseTools};
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Where a crate has its licence, in capitals.
const BEGINNINGS: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];
/// The packages of the two programs, and the platforms that they are built for.
const ROOTS: [(&str, &str); 3] = [
    ("tokenward-control", PLATFORMS[0].target),
    ("tokenward-control", PLATFORMS[1].target),
    ("tokenward-filter", "wasm32-unknown-unknown"),
];

/// A crate that is linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Linked {
    /// `NAME VERSION`.
    name: String,
    /// The SPDX expression of its manifest.
    expression: String,
    folder: PathBuf,
}

/// Writes all of them into one file: each text once, with the crates that it is of.
pub(super) fn make(
    workspace: &Workspace,
    terminal: &Terminal,
    tools: &ReleaseTools,
    plan: &Plan,
) -> Result<()> {
    terminal.step("licences", |step| {
        let mut crates = BTreeSet::new();
        for (root, target) in ROOTS {
            crates.extend(linked(&metadata(workspace, step, target)?, root)?);
        }
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut without = Vec::new();
        for package in &crates {
            let found = texts_in(&package.folder)?;
            if found.is_empty() {
                without.push(format!("{}: {}", package.name, package.expression));
            }
            for text in found {
                texts.entry(text).or_default().push(package.name.clone());
            }
        }
        if let Some(python) = &tools.python {
            let musl = python.join("ziglang/lib/libc/musl/COPYRIGHT");
            let text = std::fs::read_to_string(&musl).context("Zig has no licence of musl")?;
            texts.entry(text).or_default().push("musl".to_owned());
        }
        std::fs::write(plan.out.join(plan.licences_name()), document(&texts, &without))?;
        Ok(Outcome::new(
            "written",
            format!("{} texts of {} crates", texts.len(), crates.len()),
        ))
    })
}

fn metadata(workspace: &Workspace, step: &Step, target: &str) -> Result<Value> {
    step.now(format!("cargo metadata for {target}"));
    let mut cargo = workspace.cargo();
    cargo.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        target,
    ]);
    let text = process::ask(&mut cargo)?.succeeded("cargo metadata")?.stdout;
    serde_json::from_str(&text).context("cargo metadata prints no JSON")
}

/// The crates of others that `root` is linked with: not what only builds or tests it, and not our own.
fn linked(metadata: &Value, root: &str) -> Result<Vec<Linked>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (text(&package["id"]), package))
        .collect();
    let edges: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let normal = list(&node["deps"])
                .into_iter()
                .filter(|dep| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()));
            (text(&node["id"]), normal.map(|dep| text(&dep["pkg"])).collect())
        })
        .collect();
    let start = packages
        .iter()
        .find(|(_, package)| package["name"] == root)
        .with_context(|| format!("cargo metadata has no {root}"))?;
    let (mut open, mut seen) = (vec![start.0.clone()], BTreeSet::new());
    while let Some(id) = open.pop() {
        if seen.insert(id.clone()) {
            open.extend(edges.get(&id).into_iter().flatten().cloned());
        }
    }
    let others = seen.iter().filter_map(|id| packages.get(id));
    others
        .filter(|package| !package["source"].is_null())
        .map(|package| {
            let manifest = text(&package["manifest_path"]);
            let folder = Path::new(&manifest)
                .parent()
                .context("a manifest without a folder")?;
            Ok(Linked {
                name: format!("{} {}", text(&package["name"]), text(&package["version"])),
                expression: text(&package["license"]),
                folder: folder.to_path_buf(),
            })
        })
        .collect()
}

/// The licences in a crate's folder, sorted by their files' names.
fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .filter(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .to_uppercase();
            BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        })
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let text = String::from_utf8_lossy(&text)
                .replace("\r\n", "\n")
                .trim()
                .to_owned();
            ensure!(!text.is_empty(), "{} is empty", file.display());
            Ok(text)
        })
        .collect()
}

fn document(texts: &BTreeMap<String, Vec<String>>, without: &[String]) -> String {
    let mut document = String::from(
        "Licences of what Tokenward is linked with. Tokenward itself is under the Apache License 2.0.\n",
    );
    let rule = "-".repeat(80);
    let mut sorted: Vec<(&Vec<String>, &String)> = texts.iter().map(|(text, names)| (names, text)).collect();
    sorted.sort();
    for (names, text) in sorted {
        document += &format!("\n{rule}\n{}\n{rule}\n\n{text}\n", names.join(", "));
    }
    if !without.is_empty() {
        document += &format!(
            "\n{rule}\nCrates whose package has no text, by the name of their licence\n{rule}\n\n{}\n",
            without.join("\n")
        );
    }
    document
}
