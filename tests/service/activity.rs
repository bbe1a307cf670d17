//! What happens to users is recorded once: in the store for all replicas, and in the audit log. The digest in a log line leads
//! to the user, and nothing secret is in any of it.

mod audit;
mod command;
mod history;
mod one_id;

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deployment::{Deployment, Plan};

const PATIENCE: Duration = Duration::from_secs(30);

/// A deployment with an audit log.
async fn audited() -> anyhow::Result<(Deployment, AuditFile)> {
    let folder = TempDir::with_prefix("tokenward-audit-")?;
    let file = AuditFile(folder);
    let plan = Plan {
        settings: json!({"audit": {"file": file.path()}}),
        ..Plan::default()
    };
    Ok((Deployment::start(plan).await?, file))
}

struct AuditFile(TempDir);

impl AuditFile {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("audit.log")
    }

    fn text(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.path())?)
    }

    /// All lines, once everything that was recorded is written.
    async fn lines(&self, deployment: &Deployment) -> anyhow::Result<Vec<Value>> {
        anyhow::ensure!(deployment.service(0).drain(PATIENCE).await, "not written in time");
        let text = self.text()?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["kind"].as_str()).collect()
}
