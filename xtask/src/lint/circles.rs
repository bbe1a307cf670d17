//! No two files of a crate import each other, directly or through others. A module and the files below it are one unit: a parent
//! declares its children and uses them, so that an import of a child by its parent counts for nothing here.

mod imports;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use self::imports::{Import, imports};
use super::repository_files;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// The crates that are checked: the product's, and `cargo xtask`.
const CRATES: [&str; 6] = [
    "protocol",
    "filter/core",
    "filter/wasm",
    "control",
    "kubernetes",
    "xtask",
];

/// A module's path within its crate, `["store", "valkey"]`; the crate's root is empty.
type Module = Vec<String>;

/// One module's imports, and what it exports under names of its own.
#[derive(Debug, Default)]
struct File {
    path: String,
    imports: Vec<Import>,
}

/// The modules of one crate.
#[derive(Debug, Default)]
struct Crate {
    files: BTreeMap<Module, File>,
}

/// Fails at files that import each other in a circle.
pub(super) fn check(workspace: &Workspace, _step: &Step) -> Result<Outcome> {
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    let mut count = 0;
    for path in repository_files(workspace)? {
        let Some((root, module)) = module_of(&path).filter(|(root, _)| CRATES.contains(&root.as_str()))
        else {
            continue;
        };
        let text = std::fs::read_to_string(workspace.root().join(&path))?;
        count += 1;
        let imports = imports(&text, &module);
        crates
            .entry(root)
            .or_default()
            .files
            .insert(module, File { path, imports });
    }
    let circles: Vec<String> = crates.values().flat_map(Crate::circles).collect();
    if circles.is_empty() {
        return Ok(Outcome::new("passed", format!("{count} files, none in a circle")));
    }
    bail!("files that import each other:\n{}", circles.join("\n"))
}

/// The crate's source folder and the module of `path`; `None` for tests, programs and what is not Rust.
fn module_of(path: &str) -> Option<(String, Module)> {
    let (root, file) = path.split_once("/src/")?;
    let module = file.strip_suffix(".rs")?;
    let mut module: Module = module.split('/').map(str::to_owned).collect();
    if module.first().is_some_and(|first| first == "bin") || module.last().is_some_and(|last| last == "tests")
    {
        return None;
    }
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    Some((root.to_owned(), module))
}

impl Crate {
    /// Each circle as one line: its files.
    fn circles(&self) -> Vec<String> {
        let edges: BTreeMap<&Module, BTreeSet<&Module>> = self
            .files
            .iter()
            .map(|(module, file)| (module, self.imported(module, file)))
            .collect();
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            edges.keys().map(|from| (*from, reached(from, &edges))).collect();
        let mut circles = BTreeSet::new();
        for (from, targets) in &reached {
            let circle: BTreeSet<&str> = targets
                .iter()
                .filter(|to| reached.get(*to).is_some_and(|back| back.contains(from)))
                .filter_map(|to| Some(self.files.get(*to)?.path.as_str()))
                .collect();
            if !circle.is_empty() {
                circles.insert(circle.into_iter().collect::<Vec<_>>().join(", "));
            }
        }
        circles.into_iter().collect()
    }

    /// The modules that `module` imports from, but for itself and those below it.
    fn imported(&self, module: &Module, file: &File) -> BTreeSet<&Module> {
        let targets = file
            .imports
            .iter()
            .filter_map(|import| self.defines(&import.path, 0));
        targets.filter(|target| !target.starts_with(module)).collect()
    }

    /// The module that defines what `path` leads to, through re-exports.
    fn defines(&self, path: &[String], depth: usize) -> Option<&Module> {
        /// Re-exports of re-exports.
        const DEEPEST: usize = 8;
        let length = (0..=path.len())
            .rev()
            .find(|&length| self.files.contains_key(&path[..length]))?;
        let (module, file) = self.files.get_key_value(&path[..length])?;
        let Some(name) = path.get(length) else {
            return Some(module);
        };
        let mut exports = file
            .imports
            .iter()
            .filter(|import| import.is_exported && import.name == *name);
        match exports.next() {
            Some(export) if depth < DEEPEST => self.defines(&export.path, depth + 1),
            _ => Some(module),
        }
    }
}

fn reached<'a>(from: &'a Module, edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> BTreeSet<&'a Module> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        for target in edges.get(module).into_iter().flatten() {
            if reached.insert(*target) {
                open.push(target);
            }
        }
    }
    reached
}
