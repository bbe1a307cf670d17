//! The folder of the finished files: begun empty, ended with `release.json` and `SHA256SUMS`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::images::Images;
use super::plan::Plan;
use crate::terminal::{Outcome, Terminal};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// What is uploaded where, for `--publish` and for the forge.
pub(super) const RECORD: &str = "release.json";
/// The digest of every other file, as `sha256sum --check` reads it.
pub(super) const SUMS: &str = "SHA256SUMS";

/// `release.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Without `v`.
    pub(super) version: String,
    /// The commit that everything was built from.
    pub(super) commit: String,
    /// The commit's time, in seconds since 1970.
    pub(super) time_seconds: u64,
    /// Registry and path.
    pub(super) registry: String,
    /// The SHA-256 of the filter's module, in hexadecimal digits.
    pub(super) module_sha256: String,
    /// What is uploaded.
    pub(super) uploads: Vec<Upload>,
    /// What was not made or not checked; a release with any is not uploaded.
    pub(super) left_out: Vec<String>,
}

/// One file that goes to the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upload {
    pub(super) kind: Kind,
    /// In the same folder.
    pub(super) file: String,
    /// The repository in the registry, without a tag.
    pub(super) repository: String,
    /// `sha256:…`, as the registry will serve it.
    pub(super) digest: String,
}

/// How a file is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Image,
    Chart,
}

/// The folder while it is filled.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Empties the folder, if it is one that this verb filled.
    pub(super) fn begin(plan: &Plan) -> Result<Self> {
        let folder = plan.out.clone();
        if folder.exists() {
            let is_empty = std::fs::read_dir(&folder)?.next().is_none();
            ensure!(
                is_empty || folder.join(RECORD).is_file(),
                "{} has files that no release left there: give another --out",
                folder.display()
            );
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        // A run that ends early can be started again.
        std::fs::write(folder.join(RECORD), "{}\n")?;
        Ok(Self { folder })
    }

    /// Copies a file into the folder.
    pub(super) fn copy(&self, from: &Path, name: &str) -> Result<()> {
        std::fs::copy(from, self.folder.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    }

    /// Writes the record and the sums.
    pub(super) fn end(
        self,
        workspace: &Workspace,
        terminal: &Terminal,
        plan: &Plan,
        images: Option<&Images>,
    ) -> Result<()> {
        terminal.step("checksums", |_| {
            let record = Record {
                version: plan.version.to_owned(),
                commit: plan.commit.clone(),
                time_seconds: plan.time_seconds,
                registry: plan.registry.clone(),
                module_sha256: sha256_of(&self.folder.join(plan.module_name()))?,
                uploads: uploads(plan, images),
                left_out: plan.left_out.clone(),
            };
            let text = serde_json::to_string_pretty(&record)? + "\n";
            std::fs::write(self.folder.join(RECORD), text)?;
            let sums = sums_of(&self.folder)?;
            std::fs::write(self.folder.join(SUMS), &sums)?;
            Ok(Outcome::new(
                "written",
                format!(
                    "{} files in {}",
                    sums.lines().count() + 1,
                    workspace.shown(&self.folder)
                ),
            ))
        })
    }
}

fn uploads(plan: &Plan, images: Option<&Images>) -> Vec<Upload> {
    let Some(images) = images else {
        return Vec::new();
    };
    let upload = |kind, file, repository, digest: &str| Upload {
        kind,
        file,
        repository,
        digest: digest.to_owned(),
    };
    let mut uploads = vec![
        upload(
            Kind::Image,
            plan.control_image_name(),
            plan.control_repository(),
            &images.control,
        ),
        upload(
            Kind::Image,
            plan.filter_image_name(),
            plan.filter_repository(),
            &images.filter,
        ),
    ];
    if let Some(chart) = &plan.chart_digest {
        uploads.push(upload(
            Kind::Chart,
            plan.chart_name(),
            plan.chart_repository(),
            chart,
        ));
    }
    uploads
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(super) fn sha256_of(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(hexadecimal(&Sha256::digest(bytes)))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// One line for each file but the sums themselves, sorted by name: `DIGEST  NAME`.
fn sums_of(folder: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?
            .file_name()
            .into_string()
            .map_err(|name| anyhow::anyhow!("{} is no text", name.display()))?;
        if name != SUMS {
            names.push(name);
        }
    }
    names.sort();
    names
        .iter()
        .map(|name| Ok(format!("{}  {name}\n", sha256_of(&folder.join(name))?)))
        .collect()
}

/// # Errors
/// When a file of a finished folder is missing, added or changed.
pub(super) fn ensure_sums(folder: &Path) -> Result<()> {
    let written = std::fs::read_to_string(folder.join(SUMS))
        .with_context(|| format!("{} has no {SUMS}: no release ended there", folder.display()))?;
    let found = sums_of(folder)?;
    let differing: BTreeSet<&str> = written
        .lines()
        .filter(|line| !found.lines().any(|other| other == *line))
        .chain(
            found
                .lines()
                .filter(|line| !written.lines().any(|other| other == *line)),
        )
        .filter_map(|line| line.split("  ").nth(1))
        .collect();
    ensure!(
        differing.is_empty(),
        "{} does not fit its {SUMS}: {}",
        folder.display(),
        differing.into_iter().collect::<Vec<_>>().join(", ")
    );
    Ok(())
}
