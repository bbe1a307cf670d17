//! Checks of single files: how long they are, and that they name no host and no path that only one machine has.

use anyhow::{Result, bail};

use super::repository_files;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// A source file should have fewer lines than this …
const LONG_LINES: usize = 400;
/// … and must not have more than this.
const TOO_LONG_LINES: usize = 600;

/// Source files longer than 600 lines fail; longer than 400 are named.
pub(super) fn lengths(workspace: &Workspace, _step: &Step) -> Result<Outcome> {
    let mut long = Vec::new();
    let mut too_long = Vec::new();
    let mut count = 0;
    for path in repository_files(workspace)?.iter().filter(|path| is_source(path)) {
        let lines = std::fs::read_to_string(workspace.root().join(path))?
            .lines()
            .count();
        count += 1;
        if lines > TOO_LONG_LINES {
            too_long.push(format!("{path}: {lines}"));
        } else if lines > LONG_LINES {
            long.push(format!("{path}: {lines}"));
        }
    }
    if !too_long.is_empty() {
        bail!(
            "files with more than {TOO_LONG_LINES} lines:\n{}",
            too_long.join("\n")
        );
    }
    if long.is_empty() {
        return Ok(Outcome::new(
            "passed",
            format!("{count} files, none longer than {LONG_LINES} lines"),
        ));
    }
    Ok(Outcome::new(
        "passed",
        format!("warning: longer than {LONG_LINES} lines: {}", long.join(", ")),
    ))
}

fn is_source(path: &str) -> bool {
    [".rs", ".go", ".py", ".js", ".mjs", ".sh"]
        .iter()
        .any(|ending| path.ends_with(ending))
}

/// No package registry's host and no path of one machine, outside of lock files.
pub(super) fn hosts_and_paths(workspace: &Workspace, _step: &Step) -> Result<Outcome> {
    let mut found = Vec::new();
    let mut count = 0;
    for path in repository_files(workspace)?
        .iter()
        .filter(|path| !is_lock_file(path))
    {
        // What is not text (an image, say) names nothing.
        let Ok(text) = std::fs::read_to_string(workspace.root().join(path)) else {
            continue;
        };
        count += 1;
        for (number, line) in text.lines().enumerate() {
            if let Some(what) = forbidden_in(line) {
                found.push(format!("{path}:{}: {what}", number + 1));
            }
        }
    }
    if found.is_empty() {
        return Ok(Outcome::new(
            "passed",
            format!("{count} files name no registry host and no path of one machine"),
        ));
    }
    bail!("registry hosts or paths of one machine:\n{}", found.join("\n"))
}

fn is_lock_file(path: &str) -> bool {
    ["Cargo.lock", "package-lock.json", "go.sum"]
        .iter()
        .any(|name| path.ends_with(name))
}

/// The first forbidden text in `line`. The texts are put together here, so that this file does not contain them.
fn forbidden_in(line: &str) -> Option<String> {
    let hosts = [
        ["crates", "io"],
        ["pypi", "org"],
        ["pythonhosted", "org"],
        ["npmjs", "org"],
        ["proxy.golang", "org"],
        ["deb.debian", "org"],
        ["security.debian", "org"],
        ["archive.ubuntu", "com"],
        ["static.rust-lang", "org"],
    ];
    let folders = ["root", "work", "home", "Users", "workspace", "builds"];
    hosts
        .iter()
        .map(|parts| parts.join("."))
        .find(|host| line.contains(host.as_str()))
        .or_else(|| {
            folders
                .iter()
                .map(|folder| format!("/{folder}/"))
                .find(|folder| starts_a_path(line, folder))
        })
}

/// Whether `folder` occurs where a path begins: not in the middle of a longer one, nor in an address.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(index, _)| {
        let before = line[..index].chars().next_back();
        before.is_none_or(|character| !character.is_alphanumeric() && !"_-./~*}>)".contains(character))
    })
}
