//! `cargo xtask release`: everything of a release, made and checked on this machine, and its upload to a registry.
//!
//! Both halves are separate, so that what is uploaded is what was checked, and no build runs where an upload's credential is.

mod artefacts;
mod binaries;
mod chart;
mod files;
mod images;
mod licences;
mod notes;
mod plan;
mod publish;
mod rendered;
mod sbom;
mod served;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use self::artefacts::Artefacts;
use self::files::Files;
use self::plan::Plan;
use crate::setup::release_tools;
use crate::terminal::{Outcome, Terminal};
use crate::workspace::Workspace;
use crate::{lint, modules};

/// Flags of `cargo xtask release`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("half").required(true))]
pub(crate) struct ReleaseFlags {
    /// Make everything and check it, upload nothing
    #[arg(long, group = "half")]
    dry_run: bool,
    /// Upload the images and the chart that `--dry-run` left in this folder
    #[arg(long, group = "half", value_name = "DIR")]
    publish: Option<PathBuf>,
    /// Where the files go; by default target/dist
    #[arg(long, value_name = "DIR", conflicts_with = "publish")]
    out: Option<PathBuf>,
    /// The registry, with a path, that the chart names and that `--publish` uploads to
    #[arg(long, value_name = "HOST/PATH", default_value = plan::UNNAMED_REGISTRY)]
    registry: String,
    /// The address of the source code, for the images' labels
    #[arg(long, value_name = "URL", conflicts_with = "publish")]
    source: Option<String>,
    /// Fail unless this tag is the version's
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

/// Makes and checks, or uploads.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &ReleaseFlags) -> Result<ExitCode> {
    plan::ensure_tag(flags.tag.as_deref())?;
    match &flags.publish {
        Some(folder) => publish::run(workspace, terminal, folder, &flags.registry)?,
        None => make(workspace, terminal, flags)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn make(workspace: &Workspace, terminal: &Terminal, flags: &ReleaseFlags) -> Result<()> {
    terminal.heading("setup");
    let tools = release_tools::provide(workspace, terminal)?;
    let out = flags
        .out
        .clone()
        .unwrap_or_else(|| workspace.target().join("dist"));
    let mut plan = Plan::new(workspace, out, &flags.registry, flags.source.clone())?;
    terminal.heading(&format!("release {} (dry run)", plan.version));
    terminal.step("versions", |step| lint::versions::check(workspace, step))?;
    terminal.step("workflows", |step| lint::workflows::check(workspace, step))?;
    plan.leave_out_if(
        tools.actionlint.is_none(),
        "the check of the workflows: no actionlint",
    );
    modules::filter_module(workspace, terminal)?;
    let files = Files::begin(&plan)?;
    terminal.step("its file", |_| {
        let module = modules::module_path(workspace);
        binaries::names_no_path(workspace, &module)?;
        files.copy(&module, &plan.module_name())?;
        let digest = files::sha256_of(&module)?;
        Ok(Outcome::new(
            "passed",
            format!("no path of this machine, SHA-256 {digest}"),
        ))
    })?;
    licences::make(workspace, terminal, &tools, &plan)?;
    let artefacts = Artefacts::new(&tools.artefacts, plan.time_seconds);
    let programs = binaries::make(workspace, terminal, &tools, &artefacts, &mut plan)?;
    sbom::make(workspace, terminal, &tools, &mut plan)?;
    let images = images::make(workspace, terminal, &tools, &artefacts, &mut plan, &programs)?;
    chart::make(
        workspace,
        terminal,
        &tools,
        &artefacts,
        &mut plan,
        images.as_ref(),
    )?;
    if let (Some(helm), Some(images)) = (&tools.helm, &images) {
        let digest = served::check(terminal, &artefacts, helm, &plan, images, &programs)?;
        plan.chart_digest = Some(digest);
    }
    notes::make(workspace, terminal, &plan)?;
    files.end(workspace, terminal, &plan, images.as_ref())?;
    plan.print_left_out(terminal);
    Ok(())
}
