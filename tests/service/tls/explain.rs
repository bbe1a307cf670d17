//! `tokenward explain` asks a control that serves TLS.

use std::path::Path;
use std::process::Output;

use serde_json::json;
use tempfile::TempDir;
use tokenward_harness::parts::{Authority, tools};
use tokio::process::Command;

use super::stage::{PATIENCE, Stage};

async fn explain(stage: &Stage, arguments: &[(&str, &Path)]) -> anyhow::Result<Output> {
    let mut command = Command::new(tools::tokenward()?);
    command
        .args([
            "explain",
            "--server",
            "kubernetes",
            "--user",
            "a-user",
            "--config",
        ])
        .arg(stage.control.config_file());
    for (flag, file) in arguments {
        command.arg(flag).arg(file);
    }
    command.env_remove("TOKENWARD_URL").kill_on_drop(true);
    Ok(tokio::time::timeout(PATIENCE, command.output()).await??)
}

fn file(folder: &TempDir, name: &str, text: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = folder.path().join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

#[tokio::test]
async fn it_verifies_control_by_the_configurations_name_and_the_given_authority() -> anyhow::Result<()> {
    let stage = Stage::start(json!({}), &[]).await?;
    let folder = TempDir::with_prefix("tokenward-explain-")?;
    let ca = file(&folder, "ca.pem", &stage.authority.pem())?;
    let explained = explain(&stage, &[("--ca", &ca)]).await?;
    let errors = String::from_utf8_lossy(&explained.stderr);
    assert!(explained.status.success(), "{errors}");
    assert!(String::from_utf8_lossy(&explained.stdout).contains("kubernetes"));

    let other = file(&folder, "other.pem", &Authority::new("another authority")?.pem())?;
    for arguments in [vec![], vec![("--ca", other.as_path())]] {
        let refused = explain(&stage, &arguments).await?;
        assert!(!refused.status.success());
        let errors = String::from_utf8_lossy(&refused.stderr);
        assert!(errors.contains("gives no answer"), "{errors}");
    }
    Ok(())
}

#[tokio::test]
async fn it_presents_a_certificate_where_control_wants_one() -> anyhow::Result<()> {
    let clients = Authority::new("clients")?;
    let folder = TempDir::with_prefix("tokenward-explain-")?;
    let client_ca = file(&folder, "clients.pem", &clients.pem())?;
    let stage = Stage::start(json!({"client_ca": {"file": client_ca}}), &[]).await?;
    let ca = file(&folder, "ca.pem", &stage.authority.pem())?;
    let refused = explain(&stage, &[("--ca", &ca)]).await?;
    assert!(!refused.status.success());
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("control refuses with 401"), "{errors}");

    let pair = clients.pair(&["aggregator.example.com"])?;
    let pem = file(
        &folder,
        "client.pem",
        &format!("{}{}", pair.certificate, pair.key),
    )?;
    let explained = explain(&stage, &[("--ca", &ca), ("--client-certificate", &pem)]).await?;
    let errors = String::from_utf8_lossy(&explained.stderr);
    assert!(explained.status.success(), "{errors}");
    Ok(())
}
