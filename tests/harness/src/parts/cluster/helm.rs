//! The real Helm, as a user of the API server.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::super::{EnvoyGateway, tools, write_file};

/// Helm with a kubeconfig and a namespace, and no settings of this machine.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    namespace: String,
    folder: TempDir,
}

impl Helm {
    /// # Errors
    /// When it is not built here.
    pub fn new(kubeconfig: &Value, namespace: &str) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-helm-")?;
        write_file(&folder, "kubeconfig", kubeconfig.to_string())?;
        Ok(Self {
            program: tools::helm()?.context(EnvoyGateway::IS_MISSING)?,
            namespace: namespace.to_owned(),
            folder,
        })
    }

    /// Runs it in the root of the repository; what it printed.
    ///
    /// # Errors
    /// With its message, when it fails.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let run = Command::new(&self.program)
            .args(arguments)
            .args(["--namespace", &self.namespace])
            .env_clear()
            .env("HOME", self.folder.path())
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .current_dir(tools::workspace())
            .output()
            .context("cannot run Helm")?;
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        if !run.status.success() {
            bail!("{}", String::from_utf8_lossy(&run.stderr).trim());
        }
        Ok(printed)
    }

    /// [`Helm::run`] with these values, in a file.
    ///
    /// # Errors
    /// With its message, when it fails.
    pub fn run_with(&self, arguments: &[&str], values: &Value) -> anyhow::Result<String> {
        let file = write_file(&self.folder, "values.yaml", values.to_string())?;
        let file = file.display().to_string();
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--values", &file]).collect();
        self.run(&arguments)
    }
}
