//! The notes of a release: its section of CHANGELOG.md, and how to install and verify it.

use anyhow::{Context, Result, ensure};

use super::plan::Plan;
use crate::changelog;
use crate::terminal::{Outcome, Terminal};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

const NAME: &str = "NOTES.md";

/// Writes `NOTES.md`.
pub(super) fn make(workspace: &Workspace, terminal: &Terminal, plan: &Plan) -> Result<()> {
    terminal.step("notes", |_| {
        let changelog = std::fs::read_to_string(workspace.root().join("CHANGELOG.md"))?;
        let notes = notes(
            &changelog,
            plan.version,
            &plan.registry,
            plan.chart_digest.as_deref(),
        )?;
        std::fs::write(plan.out.join(NAME), notes)?;
        Ok(Outcome::new("written", NAME))
    })
}

fn notes(changelog: &str, version: &str, registry: &str, chart_digest: Option<&str>) -> Result<String> {
    let section = changelog::sections(changelog)
        .into_iter()
        .find(|section| section.version == version)
        .with_context(|| format!("CHANGELOG.md has no section [{version}]"))?;
    ensure!(
        !section.text.is_empty(),
        "CHANGELOG.md has nothing about {version}"
    );
    // Links lead into the repository, and the notes stand elsewhere.
    let text = section
        .text
        .replace("](docs/", &format!("](../blob/v{version}/docs/"));
    let chart = chart_digest.map_or_else(String::new, |digest| {
        format!(
            "## Install\n\n```console\n$ helm install tokenward oci://{registry}/charts/tokenward --version {version} -n mcp -f values.yaml\n```\n\n\
             The chart, `{digest}`, names both images and the filter's module by their digests.\n\n"
        )
    });
    Ok(format!(
        "{text}\n\n{chart}## Verify\n\n`SHA256SUMS` lists every file. `docs/release.md` describes how checksums and attestations are verified, and how to go back.\n"
    ))
}
