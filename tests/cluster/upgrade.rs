//! From the chart and the values of the last release to these.

use std::process::Command;

use anyhow::ensure;
use serde_json::json;
use tempfile::TempDir;
use tokenward_harness::aloud;
use tokenward_harness::parts::cluster::{ApiServer, Named};
use tokenward_harness::parts::tools;

use super::installing::{CHART, Installer, RELEASE, merged, roles, values};

/// The last commit of 0.1.0.
const RELEASED: &str = "db198e639b7bd61a829e516270cb5f193762bc19";

/// The chart and example of 0.1.0, out of the repository's history; `None` in a copy without it.
fn released() -> anyhow::Result<Option<TempDir>> {
    let folder = TempDir::with_prefix("tokenward-released-")?;
    let script = format!(
        "git archive {RELEASED} envoy | tar -x -C '{}'",
        folder.path().display()
    );
    let root = tools::workspace();
    let has = Command::new("git")
        .args(["cat-file", "-e", RELEASED])
        .current_dir(&root)
        .output()?;
    if !has.status.success() {
        aloud!("left out: the upgrade from 0.1.0: this copy of the repository has no history");
        return Ok(None);
    }
    let run = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&root)
        .output()?;
    ensure!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    Ok(Some(folder))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_0_1_0_is_upgraded_with_its_own_values_and_then_with_new_ones() -> anyhow::Result<()> {
    let Some(folder) = released()? else { return Ok(()) };
    let server = ApiServer::shared().await?;
    let [role, _] = roles()?;
    let installer = Installer::new(server, "upgraded", &role).await?;
    let helm = &installer.helm;
    let chart = folder.path().join("envoy/chart").display().to_string();
    let old = std::fs::read_to_string(folder.path().join("envoy/gateway/values.yaml"))?;
    let old: serde_json::Value = serde_saphyr::from_str(&old)?;
    helm.run_with(&["install", RELEASE, &chart], &old)?;
    let client = server.client()?;
    let policy = Named {
        api: "gateway.envoyproxy.io/v1alpha1",
        kind: "EnvoyExtensionPolicy",
        namespace: &installer.namespace,
        name: RELEASE,
    };
    let before = client.get(policy).await?.unwrap_or_default();
    helm.run_with(&["upgrade", RELEASE, CHART], &old)?;
    let after = client.get(policy).await?.unwrap_or_default();
    // Envoy Gateway takes the oldest policy: one that is made again could come second.
    for pointer in ["/metadata/uid", "/spec/wasm/0/name", "/spec/wasm/0/rootID"] {
        assert_eq!(before.pointer(pointer), after.pointer(pointer), "{pointer}");
    }
    let new = merged(
        &values("envoy/gateway/values.yaml")?,
        &json!({"logLevel": "debug"}),
    );
    helm.run_with(&["upgrade", RELEASE, CHART], &new)?;
    helm.run(&["rollback", RELEASE, "1"])?;
    let back = client.get(policy).await?.unwrap_or_default();
    assert_eq!(back["spec"], before["spec"], "what 0.1.0 installed");
    helm.run(&["uninstall", RELEASE])?;
    Ok(())
}
