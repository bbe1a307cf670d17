//! What one release is: its version, commit, time, names, and what this machine could not make of it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::terminal::Terminal;
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Stands in the chart of a dry run that names no registry: `.invalid` is reserved (RFC 2606) and leads nowhere.
pub(super) const UNNAMED_REGISTRY: &str = "registry.invalid/tokenward";

/// One release.
#[derive(Debug)]
pub(super) struct Plan {
    /// Of the workspace, without `v`.
    pub(super) version: &'static str,
    /// The commit that is checked out.
    pub(super) commit: String,
    /// When it was made, in seconds since 1970: the time of everything that has one.
    pub(super) time_seconds: u64,
    /// Registry and path, without a slash at the end.
    pub(super) registry: String,
    /// The address of the source code, if it is known.
    pub(super) source: Option<String>,
    /// The folder of the finished files.
    pub(super) out: PathBuf,
    /// Scratch space of this verb.
    pub(super) scratch: PathBuf,
    /// The chart's digest in a registry, once the check has uploaded it to one.
    pub(super) chart_digest: Option<String>,
    /// What was left out, and why. `--publish` refuses a release with any.
    pub(super) left_out: Vec<String>,
}

impl Plan {
    /// Reads commit and time from git.
    pub(super) fn new(
        workspace: &Workspace,
        out: PathBuf,
        registry: &str,
        source: Option<String>,
    ) -> Result<Self> {
        ensure_registry(registry)?;
        let git = |arguments: &[&str]| -> Result<String> {
            let mut git = Command::new("git");
            git.current_dir(workspace.root()).args(arguments);
            Ok(process::ask(&mut git)?.succeeded("git")?.stdout.trim().to_owned())
        };
        let time = git(&["log", "-1", "--format=%ct"])?;
        let changes = git(&["status", "--porcelain"])?;
        let mut plan = Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: git(&["rev-parse", "HEAD"])?,
            time_seconds: time.parse().context("git prints no time of the commit")?,
            registry: registry.to_owned(),
            source,
            out,
            scratch: workspace.target().join("release-scratch"),
            chart_digest: None,
            left_out: Vec::new(),
        };
        plan.leave_out_if(
            !changes.is_empty(),
            "a commit of all of it: the work tree has changes",
        );
        plan.leave_out_if(
            registry == UNNAMED_REGISTRY,
            "the registry's name in the chart: no --registry",
        );
        std::fs::create_dir_all(&plan.scratch)
            .with_context(|| format!("cannot create {}", plan.scratch.display()))?;
        Ok(plan)
    }

    /// Notes that something is left out.
    pub(super) fn leave_out_if(&mut self, is_left_out: bool, what_and_why: &str) {
        if is_left_out {
            self.left_out.push(what_and_why.to_owned());
        }
    }

    /// The file of the filter's module.
    pub(super) fn module_name(&self) -> String {
        format!("tokenward-filter-{}.wasm", self.version)
    }

    /// The file with the licences of what is linked.
    pub(super) fn licences_name(&self) -> String {
        format!("THIRD-PARTY-LICENCES-{}.txt", self.version)
    }

    /// The file of control's image.
    pub(super) fn control_image_name(&self) -> String {
        format!("tokenward-{}.oci.tar", self.version)
    }

    /// The file of the filter's image.
    pub(super) fn filter_image_name(&self) -> String {
        format!("tokenward-filter-{}.oci.tar", self.version)
    }

    /// The file of the chart, as Helm names it.
    pub(super) fn chart_name(&self) -> String {
        format!("tokenward-{}.tgz", self.version)
    }

    /// Control's repository in the registry.
    pub(super) fn control_repository(&self) -> String {
        format!("{}/tokenward", self.registry)
    }

    /// The filter's repository in the registry.
    pub(super) fn filter_repository(&self) -> String {
        format!("{}/tokenward-filter", self.registry)
    }

    /// The chart's repository in the registry: Helm adds the chart's name to the folder that it is given.
    pub(super) fn chart_repository(&self) -> String {
        format!("{}/charts/tokenward", self.registry)
    }

    /// The last lines: what was only written, or not made here.
    pub(super) fn print_left_out(&self, terminal: &Terminal) {
        terminal.heading("not run here");
        for what in &self.left_out {
            terminal.note(&format!("left out: {what}"));
        }
        for what in ONLY_WRITTEN {
            terminal.note(&format!("only written: {what}"));
        }
    }
}

/// What no machine without a forge and a cluster can run; docs/release.md has the same list.
const ONLY_WRITTEN: [&str; 4] = [
    "the workflows on a forge's runners (actionlint checks them), with the signed attestations and the release page",
    "the upload to a registry with TLS and a login (the check uses one on 127.0.0.1)",
    "the images in a container engine (programs and files of the images are checked, not the engine)",
    "both Dockerfiles, which make images of your own",
];

/// # Errors
/// When a tag is given and is not `v` and the version.
pub(super) fn ensure_tag(tag: Option<&str>) -> Result<()> {
    let wanted = concat!("v", env!("CARGO_PKG_VERSION"));
    ensure!(
        tag.is_none_or(|tag| tag == wanted),
        "the tag is {}, and the version in Cargo.toml needs {wanted}",
        tag.unwrap_or_default()
    );
    Ok(())
}

/// `HOST/PATH` in lower case, as image references allow it.
fn ensure_registry(registry: &str) -> Result<()> {
    let is_good = registry.contains('/')
        && registry.split('/').all(|part| !part.is_empty())
        && registry
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"./-_:".contains(&byte));
    ensure!(
        is_good,
        "--registry is {registry:?}: give HOST/PATH in lower case, without a scheme or a slash at the end"
    );
    Ok(())
}
