//! The Helm chart in envoy/chart, rendered by a real Helm and checked by the strict validator.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{tools, write_file};

/// The Kubernetes that resources are rendered for.
const KUBERNETES: &str = "1.32.0";

/// The chart and the tools that it needs.
#[derive(Debug, Clone)]
pub struct Chart {
    helm: PathBuf,
    validate: PathBuf,
}

/// One rendered resource.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// `kind`.
    pub kind: String,
    /// The document, comments included.
    pub yaml: String,
}

impl Chart {
    /// `None` where there is no Helm or no validator: both are built with Go.
    ///
    /// # Errors
    /// When one of their variables names what is not there.
    pub fn find() -> anyhow::Result<Option<Self>> {
        Ok(tools::helm()?
            .zip(tools::kubernetes_validate()?)
            .map(|(helm, validate)| Self { helm, validate }))
    }

    /// What the chart makes of the values, as release `tokenward` in the namespace `mcp`; JSON is YAML.
    ///
    /// # Errors
    /// Helm's message, when it refuses the values.
    pub fn render(&self, values: &Value) -> anyhow::Result<Vec<Rendered>> {
        self.render_for(values, &[])
    }

    /// The same, on a Kubernetes that has these APIs besides its own.
    ///
    /// # Errors
    /// Helm's message, when it refuses the values.
    pub fn render_for(&self, values: &Value, apis: &[&str]) -> anyhow::Result<Vec<Rendered>> {
        let folder = TempDir::with_prefix("tokenward-chart-")?;
        let file = write_file(&folder, "values.yaml", values.to_string())?;
        let run = Command::new(&self.helm)
            .args(["template", "tokenward"])
            .arg(tools::workspace().join("envoy/chart"))
            .args(["--namespace", "mcp", "--kube-version", KUBERNETES, "--values"])
            .arg(file)
            .args(apis.iter().flat_map(|api| ["--api-versions", api]))
            // Helm looks for its own settings there; it shall find none.
            .env("HOME", folder.path())
            .output()
            .context("cannot run Helm")?;
        if !run.status.success() {
            bail!("{}", String::from_utf8_lossy(&run.stderr).trim());
        }
        Ok(documents(&String::from_utf8(run.stdout)?))
    }

    /// Checks YAML documents against Kubernetes' and the CRDs' schemas, CEL rules included; the validator's count by
    /// kind.
    ///
    /// # Errors
    /// Every finding, one a line.
    pub fn validate(&self, yaml: &str) -> anyhow::Result<String> {
        let folder = TempDir::with_prefix("tokenward-validate-")?;
        let file = write_file(&folder, "resources.yaml", yaml)?;
        let run = Command::new(&self.validate)
            .arg(file)
            .output()
            .context("cannot run the validator")?;
        if !run.status.success() {
            bail!("{}", String::from_utf8_lossy(&run.stderr).trim());
        }
        Ok(String::from_utf8(run.stdout)?)
    }
}

/// The documents of a YAML stream that have a kind.
pub fn documents(stream: &str) -> Vec<Rendered> {
    let named = |document: &str| {
        let kind = document
            .lines()
            .find_map(|line| line.strip_prefix("kind: "))?
            .trim()
            .to_owned();
        Some(Rendered {
            kind,
            yaml: document.to_owned(),
        })
    };
    format!("\n{stream}").split("\n---").filter_map(named).collect()
}
