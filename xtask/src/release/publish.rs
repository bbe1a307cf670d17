//! The upload of what a dry run made and checked. Nothing is built here.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::artefacts::Artefacts;
use super::chart;
use super::files::{Kind, RECORD, Record, Upload, ensure_sums};
use crate::setup::release_tools;
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Uploads images and chart; a tag that is there with another content stays, and is an error.
pub(super) fn run(workspace: &Workspace, terminal: &Terminal, folder: &Path, registry: &str) -> Result<()> {
    terminal.heading("setup");
    let (artefacts, helm) = release_tools::provide_for_upload(workspace, terminal)?;
    let text = std::fs::read_to_string(folder.join(RECORD))
        .with_context(|| format!("{} has no {RECORD}: no dry run ended there", folder.display()))?;
    let record: Record = serde_json::from_str(&text)
        .with_context(|| format!("{RECORD} is not finished: the dry run did not end well"))?;
    terminal.heading(&format!("release {}", record.version));
    terminal.step("files", |_| {
        ensure_sums(folder)?;
        ensure_may_be_published(&record, registry)?;
        Ok(Outcome::new("passed", "complete, and as SHA256SUMS lists them"))
    })?;
    let artefacts = Artefacts::new(&artefacts, record.time_seconds);
    for upload in &record.uploads {
        terminal.step(&upload.file, |step| {
            let served = send(step, &artefacts, &helm, folder, &record, upload)?;
            ensure!(
                served == upload.digest,
                "{} is served as {served}, and the check had {}",
                upload.repository,
                upload.digest
            );
            Ok(Outcome::new(
                "uploaded",
                format!("{}@{served}", upload.repository),
            ))
        })?;
    }
    Ok(())
}

fn send(
    step: &Step,
    artefacts: &Artefacts,
    helm: &Path,
    folder: &Path,
    record: &Record,
    upload: &Upload,
) -> Result<String> {
    let file = folder.join(&upload.file);
    let is_loopback = record.registry.starts_with("127.0.0.1:");
    let reference = format!("{}:{}", upload.repository, record.version);
    match upload.kind {
        Kind::Image => artefacts.push(step, &file, &reference),
        Kind::Chart => {
            // Helm moves a tag that is there. Where nothing is served, the upload itself reports what is wrong.
            if let Ok(there) = artefacts.digest(step, &reference) {
                ensure!(
                    there == upload.digest,
                    "{reference} is there already, with another content: {there}"
                );
            }
            chart::set_time(&file, record.time_seconds)?;
            let (parent, _) = upload
                .repository
                .rsplit_once('/')
                .context("the chart's repository has no folder")?;
            chart::push(helm, step, &file, parent, is_loopback)?;
            artefacts.digest(step, &reference)
        }
    }
}

/// # Errors
/// When something was left out, or the chart names another registry.
fn ensure_may_be_published(record: &Record, registry: &str) -> Result<()> {
    ensure!(
        record.left_out.is_empty(),
        "the release is not complete; left out:\n  {}",
        record.left_out.join("\n  ")
    );
    ensure!(
        record.registry == registry,
        "the chart names {}, and --registry is {registry}: make the release for the registry that it goes to",
        record.registry
    );
    ensure!(
        record.version == env!("CARGO_PKG_VERSION"),
        "the files are of version {}, and this checkout is of {}",
        record.version,
        env!("CARGO_PKG_VERSION")
    );
    let charts = record.uploads.iter().filter(|upload| upload.kind == Kind::Chart);
    ensure!(
        charts.count() == 1 && record.uploads.len() == 3,
        "{RECORD} lists {} uploads, and two images and a chart belong to a release",
        record.uploads.len()
    );
    Ok(())
}
