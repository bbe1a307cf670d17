//! One version everywhere: the workspace's in Cargo.toml, the chart's two in Chart.yaml, the newest release of CHANGELOG.md.

use anyhow::{Context, Result, bail};

use crate::changelog;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Fails where one of them is another version than the workspace's, or the release has no date.
pub(crate) fn check(workspace: &Workspace, _step: &Step) -> Result<Outcome> {
    let read = |path: &str| {
        std::fs::read_to_string(workspace.root().join(path)).with_context(|| format!("cannot read {path}"))
    };
    let version = env!("CARGO_PKG_VERSION");
    let problems = disagreements(version, &read("envoy/chart/Chart.yaml")?, &read("CHANGELOG.md")?);
    if problems.is_empty() {
        return Ok(Outcome::new(
            "passed",
            format!("{version} in Cargo.toml, Chart.yaml and CHANGELOG.md"),
        ));
    }
    bail!(
        "Cargo.toml has version {version}, and docs/release.md says what to change with it:\n{}",
        problems.join("\n")
    )
}

fn disagreements(version: &str, chart: &str, changelog: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for field in ["version", "appVersion"] {
        match top_level(chart, field) {
            Some(found) if found == version => {}
            found => problems.push(format!(
                "envoy/chart/Chart.yaml: {field} is {}",
                found.unwrap_or("missing")
            )),
        }
    }
    match changelog::newest_release(changelog) {
        Some(newest) if newest.version == version => {
            if newest.date.is_none() {
                problems.push(format!(
                    "CHANGELOG.md: the heading is not `## [{version}] - YYYY-MM-DD`"
                ));
            }
            if newest.text.is_empty() {
                problems.push(format!("CHANGELOG.md: nothing below [{version}]"));
            }
        }
        found => problems.push(format!(
            "CHANGELOG.md: the newest release is {}",
            found.map_or("missing", |section| section.version)
        )),
    }
    problems
}

/// A scalar at the top level of a YAML file, without its quotes.
fn top_level<'a>(yaml: &'a str, field: &str) -> Option<&'a str> {
    yaml.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim().trim_matches('"'))
}
