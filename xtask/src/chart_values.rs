//! The table of the chart's README: every value of `values.yaml` with its default and its comment.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

const VALUES: &str = "envoy/chart/values.yaml";
const README: &str = "envoy/chart/README.md";
const BEGIN: &str =
    "<!-- From values.yaml by `cargo xtask gateway --write`; `cargo xtask lint` compares. -->\n";
const END: &str = "<!-- End of the values. -->\n";
/// A default that takes several lines.
const IN_THE_FILE: &str = "*see values.yaml*";

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    path: String,
    default: String,
    text: String,
}

/// Values below one heading of the file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Section {
    title: String,
    rows: Vec<Row>,
}

/// Fails if the README's table is not that of the values.
pub(crate) fn check(workspace: &Workspace, _step: &Step) -> Result<Outcome> {
    let readme = read(workspace, README)?;
    let (written, values) = with_table(&readme, &read(workspace, VALUES)?)?;
    ensure!(
        written == readme,
        "{README} does not have the values of {VALUES}; run `cargo xtask gateway --write`"
    );
    Ok(Outcome::new("passed", format!("{README} lists {values} values")))
}

/// Writes the table of the values into the README.
pub(crate) fn write(workspace: &Workspace) -> Result<Outcome> {
    let (written, values) = with_table(&read(workspace, README)?, &read(workspace, VALUES)?)?;
    let path = workspace.root().join(README);
    std::fs::write(&path, written).with_context(|| format!("cannot write {README}"))?;
    Ok(Outcome::new("written", format!("{README}, {values} values")))
}

fn read(workspace: &Workspace, path: &str) -> Result<String> {
    std::fs::read_to_string(workspace.root().join(path)).with_context(|| format!("cannot read {path}"))
}

/// The README with the table of `values`, and the number of values in it.
fn with_table(readme: &str, values: &str) -> Result<(String, usize)> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .with_context(|| format!("{README} lacks the line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{README} lacks the line {END}"))?;
    let sections = sections(values);
    let count = sections.iter().map(|section| section.rows.len()).sum();
    let mut table = String::new();
    for section in sections.iter().filter(|section| !section.rows.is_empty()) {
        if !section.title.is_empty() {
            // Writing into a String cannot fail.
            let _ = write!(table, "\n### {}\n", section.title);
        }
        table.push_str("\n| value | default | |\n|---|---|---|\n");
        for Row { path, default, text } in &section.rows {
            let _ = writeln!(table, "| `{path}` | {} | {} |", cell(default), escaped(text));
        }
    }
    Ok((format!("{before}{BEGIN}{table}\n{END}{after}"), count))
}

fn cell(default: &str) -> String {
    match default {
        "" | IN_THE_FILE => default.to_owned(),
        default => format!("`{}`", escaped(default)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Reads the file: keys by their indent, and above each the comment that describes it.
fn sections(values: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut parents: Vec<(usize, String)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in values.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(words) = text.strip_prefix('#') {
            match words.trim_start_matches([' ', '-']) {
                title if words.starts_with(" ---") => sections.push(Section {
                    title: capitalized(title),
                    rows: Vec::new(),
                }),
                _ => comment.push(words.strip_prefix(' ').unwrap_or(words)),
            }
            continue;
        }
        let Some(section) = sections.last_mut() else {
            continue;
        };
        if text.starts_with("- ") {
            // An element of a list that takes several lines.
            if let Some(row) = section.rows.last_mut().filter(|row| row.default.is_empty()) {
                IN_THE_FILE.clone_into(&mut row.default);
            }
        } else if let Some((key, value)) = text.split_once(':') {
            parents.retain(|(parent, _)| *parent < indent);
            let path: String = parents.iter().map(|(_, name)| format!("{name}.")).collect();
            let row = Row {
                path: format!("{path}{key}"),
                default: value.trim().to_owned(),
                text: description(&comment),
            };
            // A map is described by its members, unless it has words of its own.
            if !row.default.is_empty() || !row.text.is_empty() || is_list(values, line) {
                section.rows.push(row);
            }
            parents.push((indent, key.to_owned()));
        }
        comment.clear();
    }
    sections
}

/// Whether the line after `line` is an element of a list.
fn is_list(values: &str, line: &str) -> bool {
    let mut lines = values.lines().skip_while(|other| *other != line).skip(1);
    lines
        .find(|line| !line.trim_start().starts_with('#'))
        .is_some_and(|line| line.trim_start().starts_with("- "))
}

/// The prose of a comment: what comes before an example in YAML.
fn description(comment: &[&str]) -> String {
    let prose: Vec<&str> = comment
        .iter()
        .copied()
        .take_while(|line| !is_example(line))
        .collect();
    let text = prose.join(" ");
    match text.trim_end().strip_suffix(':') {
        Some(text) => format!("{text}."),
        None => text,
    }
}

fn is_example(line: &str) -> bool {
    let is_key = |(key, _): (&str, &str)| {
        key.starts_with(|letter: char| letter.is_ascii_lowercase())
            && key.chars().all(|letter| letter.is_ascii_alphanumeric())
    };
    line.starts_with("- ") || line.starts_with(' ') || line.split_once(": ").is_some_and(is_key)
}

fn capitalized(title: &str) -> String {
    let mut letters = title.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}
