//! From the chart and the values of the last release to these.

use anyhow::Context as _;
use serde_json::json;
use tokenward_harness::parts::cluster::{ApiServer, Named};

use super::installing::{CHART, Installer, RELEASE, merged, roles, values};

/// What 0.1.0 installed with the values of its example: a chart whose templates are the rendered resources.
const RELEASED: &str = "tests/cluster/from_0_1_0";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_0_1_0_is_upgraded_with_its_own_values_and_then_with_new_ones() -> anyhow::Result<()> {
    let server = ApiServer::shared().await?;
    let [role, _] = roles()?;
    let installer = Installer::new(server, "upgraded", &role).await?;
    let helm = &installer.helm;
    let old = values(&format!("{RELEASED}/values.yaml"))?;
    helm.run_with(&["install", RELEASE, RELEASED], &old)?;
    let client = server.client()?;
    let policy = Named {
        api: "gateway.envoyproxy.io/v1alpha1",
        kind: "EnvoyExtensionPolicy",
        namespace: &installer.namespace,
        name: RELEASE,
    };
    let before = client.get(policy).await?.context("no policy")?;
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
