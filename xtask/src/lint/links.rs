//! Every relative link in a Markdown file leads to a file of the repository.

use std::path::Path;

use anyhow::{Result, bail};

use super::repository_files;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Follows the relative links of every `.md` file.
pub(super) fn check(workspace: &Workspace, _step: &Step) -> Result<Outcome> {
    let files = repository_files(workspace)?;
    let mut broken = Vec::new();
    let (mut pages, mut followed) = (0, 0);
    for path in files.iter().filter(|path| path.ends_with(".md")) {
        let text = std::fs::read_to_string(workspace.root().join(path))?;
        pages += 1;
        for link in relative_links(&text) {
            followed += 1;
            if let Err(reason) = follow(workspace.root(), path, &text, &link) {
                broken.push(format!("{path}: {link}: {reason}"));
            }
        }
    }
    if broken.is_empty() {
        return Ok(Outcome::new(
            "passed",
            format!("{followed} links in {pages} pages"),
        ));
    }
    bail!("links that lead nowhere:\n{}", broken.join("\n"))
}

fn follow(root: &Path, page: &str, text: &str, link: &str) -> Result<(), &'static str> {
    let (file, anchor) = link
        .split_once('#')
        .map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = root.join(page).parent().unwrap_or(root).join(file);
    if !file.is_empty() && !target.exists() {
        return Err("no such file");
    }
    let Some(anchor) = anchor else { return Ok(()) };
    let headings_of = |text: &str| anchors(text).iter().any(|known| known == anchor);
    let known = if file.is_empty() {
        headings_of(text)
    } else if file.ends_with(".md") {
        std::fs::read_to_string(&target).is_ok_and(|text| headings_of(&text))
    } else {
        true
    };
    if known { Ok(()) } else { Err("no such heading") }
}

/// The targets of `[text](target)` outside of code that are neither an address nor absolute.
fn relative_links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in outside_of_fences(text) {
        // Every second part is inside of backticks.
        for part in line.split('`').step_by(2) {
            for rest in part.split("](").skip(1) {
                let Some(target) = rest.split([')', ' ']).next() else {
                    continue;
                };
                if !target.is_empty() && !target.contains(':') && !target.starts_with('/') {
                    links.push(target.to_owned());
                }
            }
        }
    }
    links
}

/// The anchors that a page's headings get: lower case, no punctuation, blanks as hyphens; `-1`, `-2` for repeats.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for line in outside_of_fences(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let plain: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'))
            .map(|character| if character == ' ' { '-' } else { character })
            .collect();
        let mut anchor = plain.clone();
        let mut repeat = 0;
        while anchors.contains(&anchor) {
            repeat += 1;
            anchor = format!("{plain}-{repeat}");
        }
        anchors.push(anchor);
    }
    anchors
}

fn outside_of_fences(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}
