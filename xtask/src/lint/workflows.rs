//! The forge's workflows, checked by actionlint: syntax, expressions, contexts, the known inputs of actions.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::repository_files;
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

const FOLDER: &str = ".github/workflows/";

/// Fails at what actionlint reports; left out where actionlint is not in target/tools.
pub(crate) fn check(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    let actionlint = workspace.tools().join("actionlint");
    if !actionlint.is_file() {
        return Ok(Outcome::skipped(
            "actionlint is not built; `cargo xtask release --dry-run` builds it where there is Go",
        ));
    }
    let workflows: Vec<PathBuf> = repository_files(workspace)?
        .into_iter()
        .filter(|path| path.starts_with(FOLDER))
        .map(|path| workspace.root().join(path))
        .collect();
    let mut command = Command::new(actionlint);
    command.current_dir(workspace.root()).args(&workflows);
    process::capture(&mut command, step, Duration::from_secs(60))?.succeeded("actionlint")?;
    Ok(Outcome::new(
        "passed",
        format!("actionlint on {} workflows", workflows.len()),
    ))
}
