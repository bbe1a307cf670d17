//! The words of comments and documents. A reader searches for the field's terms and finds what they name only where the text
//! uses them: a component, a caller or a record acts, not "who" or "nobody".

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::repository_files;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Words that no text needs, with what to write in their place.
const NEVER: [(&str, &str); 16] = [
    ("for ever", "indefinitely, without end"),
    ("anew", "again"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("mends", "fixes"),
    ("cheapened", "reduced"),
    ("farewell", "rejection, close"),
    ("hears", "receives"),
    ("heard", "received"),
    ("nobody", "no caller, no component"),
    ("everybody", "all callers, every user"),
    ("somebody", "another caller, a component"),
    ("anybody", "any caller, a user"),
    ("whoever", "the caller that"),
    ("whom", "the user, the caller"),
    ("aloft", "in flight"),
];

/// Words that a text can need, but seldom: what acts or holds is mostly a component.
const SELDOM: [&str; 10] = [
    "who", "told", "tell", "tells", "ask", "asks", "asked", "kept", "keeps", "says",
];
/// At most so many of all of them among a thousand words of one folder's comments.
const MOST_IN_A_THOUSAND: usize = 3;

/// Where a word of [`NEVER`] may stand: the end of the path, and the words around it.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// Folders whose comments are measured, each for itself.
const FOLDERS: [&str; 8] = [
    "protocol/",
    "filter/",
    "control/",
    "kubernetes/",
    "xtask/",
    "tests/",
    "lab/",
    "fuzz/",
];

/// What was found in one text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    words: usize,
    seldom: usize,
    /// Line number and what to write.
    never: Vec<(usize, String)>,
}

/// Fails at a word of [`NEVER`] in a comment or document, and at a folder with too many words of [`SELDOM`].
pub(super) fn check(workspace: &Workspace, _step: &Step) -> Result<Outcome> {
    let mut problems = Vec::new();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for path in repository_files(workspace)? {
        let Some(read) = reader(&path) else {
            continue;
        };
        let text = std::fs::read_to_string(workspace.root().join(&path))?;
        let found = look(&path, &read(&text));
        problems.extend(
            found
                .never
                .into_iter()
                .map(|(line, what)| format!("{path}:{line}: {what}")),
        );
        if let Some(folder) = FOLDERS.iter().find(|folder| path.starts_with(*folder)) {
            let (words, seldom) = counts.entry(folder).or_default();
            *words += found.words;
            *seldom += found.seldom;
        }
    }
    let mut shares = Vec::new();
    for (folder, (words, seldom)) in counts {
        let tenths = seldom * 10_000 / words.max(1);
        shares.push(format!("{folder} {}.{}", tenths / 10, tenths % 10));
        if tenths > MOST_IN_A_THOUSAND * 10 {
            problems.push(format!(
                "{folder}: {seldom} of {words} words are among {SELDOM:?}: let components, callers and records act"
            ));
        }
    }
    if problems.is_empty() {
        return Ok(Outcome::new(
            "passed",
            format!("seldom words in a thousand: {}", shares.join(", ")),
        ));
    }
    bail!("language:\n{}", problems.join("\n"))
}

/// Finds the prose in a text: numbered lines.
type Reader = fn(&str) -> Vec<(usize, String)>;

/// How the prose of a file is found; `None`: it has none that is checked.
fn reader(path: &str) -> Option<Reader> {
    let ends_with = |endings: &[&str]| endings.iter().any(|ending| path.ends_with(ending));
    // The list itself.
    if path.contains("lint/language") {
        return None;
    }
    if ends_with(&[".rs"]) {
        Some(comments)
    } else if ends_with(&[".md", ".yaml", ".yml", ".tpl", ".txt"]) {
        Some(prose)
    } else {
        None
    }
}

/// The comments of Rust, without code in backticks.
fn comments(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate().filter_map(|(number, line)| {
        let comment = line
            .match_indices("//")
            .find(|(at, _)| line[..*at].chars().next_back().is_none_or(char::is_whitespace))?
            .0;
        Some((number + 1, without_code(&line[comment..])))
    });
    lines.collect()
}

/// A document without its code blocks and what stands in backticks.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut is_code = false;
    let lines = text.lines().enumerate().filter_map(|(number, line)| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        (!fence && !is_code).then(|| (number + 1, without_code(line)))
    });
    lines.collect()
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

fn look(path: &str, lines: &[(usize, String)]) -> Found {
    let mut found = Found::default();
    for (number, line) in lines {
        let lower = line.to_lowercase();
        let words: Vec<&str> = lower
            .split(|letter: char| !letter.is_alphabetic())
            .filter(|word| !word.is_empty())
            .collect();
        found.words += words.len();
        found.seldom += words.iter().filter(|word| SELDOM.contains(word)).count();
        for (never, instead) in NEVER {
            let wanted: Vec<&str> = never.split(' ').collect();
            let excepted = EXCEPTIONS
                .iter()
                .any(|(file, around)| path.ends_with(file) && lower.contains(around));
            if !excepted && words.windows(wanted.len()).any(|window| window == wanted) {
                found
                    .never
                    .push((*number, format!("{never:?}: write {instead:?}")));
            }
        }
    }
    found
}
