//! The chart of a release: the repository's, with the images and the digests of its own version as defaults.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::artefacts::Artefacts;
use super::files::sha256_of;
use super::images::Images;
use super::plan::Plan;
use crate::process;
use crate::setup::release_tools::ReleaseTools;
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Packs the chart; none without Helm or without images to name.
pub(super) fn make(
    workspace: &Workspace,
    terminal: &Terminal,
    tools: &ReleaseTools,
    artefacts: &Artefacts,
    plan: &mut Plan,
    images: Option<&Images>,
) -> Result<()> {
    let (Some(helm), Some(images)) = (&tools.helm, images) else {
        plan.leave_out_if(true, "the chart: no Helm, or no images to name");
        return Ok(());
    };
    terminal.step("chart", |step| {
        let staged = stage(workspace, plan, images)?;
        let mut package = Command::new(helm);
        package
            .arg("package")
            .arg(&staged)
            .arg("--destination")
            .arg(&plan.out);
        process::capture(&mut package, step, Duration::from_secs(120))?.succeeded("helm package")?;
        let out = plan.out.join(plan.chart_name());
        artefacts.repack(step, &out)?;
        set_time(&out, plan.time_seconds)?;
        Ok(Outcome::new("written", plan.chart_name()))
    })
}

/// `helm push` takes the manifest's time from the file: with this one, the same file gets the same digest everywhere.
pub(super) fn set_time(file: &Path, time_seconds: u64) -> Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time_seconds);
    std::fs::File::options()
        .write(true)
        .open(file)
        .and_then(|open| open.set_modified(time))
        .with_context(|| format!("cannot set the time of {}", file.display()))
}

/// Uploads the chart below `repository`; answers with its digest.
pub(super) fn push(
    helm: &Path,
    step: &Step,
    file: &Path,
    repository: &str,
    is_loopback: bool,
) -> Result<String> {
    let mut push = Command::new(helm);
    push.env("TZ", "UTC")
        .arg("push")
        .arg(file)
        .arg(format!("oci://{repository}"));
    if is_loopback {
        push.arg("--plain-http");
    }
    let run = process::capture(&mut push, step, Duration::from_secs(300))?.succeeded("helm push")?;
    let printed = format!("{}\n{}", run.stdout, run.stderr);
    printed
        .lines()
        .find_map(|line| line.trim().strip_prefix("Digest:"))
        .map(|digest| digest.trim().to_owned())
        .with_context(|| format!("helm push printed no digest: {printed}"))
}

fn stage(workspace: &Workspace, plan: &Plan, images: &Images) -> Result<std::path::PathBuf> {
    let staged = plan.scratch.join("chart/tokenward");
    if staged.exists() {
        std::fs::remove_dir_all(&staged)?;
    }
    copy_folder(&workspace.root().join("envoy/chart"), &staged)?;
    let values = staged.join("values.yaml");
    let text = std::fs::read_to_string(&values)?;
    let module = sha256_of(&plan.out.join(plan.module_name()))?;
    std::fs::write(&values, filled(&text, plan, images, &module)?)?;
    let description = staged.join("Chart.yaml");
    let text = std::fs::read_to_string(&description)?;
    std::fs::write(&description, with_home(&text, home_at_forge().as_deref()))?;
    Ok(staged)
}

/// The repository's address, where a forge's runner names it.
fn home_at_forge() -> Option<String> {
    let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(format!(
        "{}/{}",
        named("GITHUB_SERVER_URL")?,
        named("GITHUB_REPOSITORY")?
    ))
}

/// Chart.yaml with `home` and `sources`: the repository itself does not know where it is published.
fn with_home(chart: &str, home: Option<&str>) -> String {
    let added = home.map_or_else(String::new, |home| format!("home: {home}\nsources: [{home}]\n"));
    format!("{}\n{added}", chart.trim_end())
}

/// The values of a release: everything that is served is named by its digest.
///
/// The module comes out of its image. Fetched from control, a new digest would have to wait until no old control answers
/// (docs/upgrade.md), and one `helm upgrade` changes both.
fn filled(values: &str, plan: &Plan, images: &Images, module: &str) -> Result<String> {
    let filter_digest = images.filter.trim_start_matches("sha256:");
    let settings: [(&[&str], &str); 6] = [
        (&["image", "repository"], &plan.control_repository()),
        (&["image", "digest"], &images.control),
        (&["gateway", "filter", "sha256"], module),
        (&["gateway", "filter", "source"], "image"),
        (
            &["gateway", "filter", "image", "url"],
            &format!("{}:{}", plan.filter_repository(), plan.version),
        ),
        (&["gateway", "filter", "image", "sha256"], filter_digest),
    ];
    settings
        .iter()
        .try_fold(values.to_owned(), |text, (path, value)| {
            with_value(&text, path, value)
        })
}

/// Replaces one scalar of a YAML file in block style with two blanks a level; every other byte stays.
fn with_value(text: &str, path: &[&str], value: &str) -> Result<String> {
    let mut depth = 0;
    let mut lines: Vec<String> = Vec::new();
    let mut is_done = false;
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if !content.is_empty() && !content.starts_with('#') && indent < depth * 2 && !is_done {
            bail!("the chart's values have no {}", path.join("."));
        }
        let key = path.get(depth).filter(|_| !is_done && indent == depth * 2);
        match key.and_then(|key| content.strip_prefix(key)?.strip_prefix(':')) {
            Some(rest) if depth + 1 == path.len() && !rest.trim().is_empty() => {
                lines.push(format!("{}{}: {value:?}", " ".repeat(indent), path[depth]));
                is_done = true;
            }
            Some(rest) if depth + 1 < path.len() && rest.trim().is_empty() => {
                depth += 1;
                lines.push(line.to_owned());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    if !is_done {
        bail!("the chart's values have no {}", path.join("."));
    }
    Ok(lines.join("\n") + "\n")
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            std::fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}
