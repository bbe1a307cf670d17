//! Envoy fetches the filter from control by its digest.

use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::mcp_server::{McpServer, McpTrust};
use tokenward_harness::parts::{Control, ControlConfig, Envoy, EnvoyConfig, EnvoyFilter, EnvoyRoute, tools};

const EMAIL: &str = "admin@example.com";

#[tokio::test]
async fn envoy_runs_the_module_that_control_serves_with_the_digest_that_control_says() -> anyhow::Result<()> {
    let dex = FakeDex::start(DexConfig::default()).await?;
    let server = McpServer::start(McpTrust::of(&dex, "muster")).await?;
    let module = tools::filter_module()?;
    let control = Control::start(
        ControlConfig::default()
            .issuer(&dex, "muster", "s3cret")
            .forwarding_server("kubernetes", &[])
            .setting("filter_module", json!({"path": module})),
    )
    .await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let line = http
        .get(format!("{}/filter/tokenward.wasm.sha256", control.url()))
        .send()
        .await?
        .text()
        .await?;
    let sha256 = line.split(' ').next().unwrap_or_default().to_owned();
    let servers = json!([{
        "name": "kubernetes", "path_prefix": "/kubernetes",
        "auth": {"kind": "forward", "issuer": dex.issuer(), "required_audiences": ["muster"]},
    }]);
    let configuration = json!({
        "control": {"cluster": "tokenward_control", "credential": {"value": "filter-credential"}},
        "servers": servers,
    });
    let envoy = Envoy::start(&EnvoyConfig {
        // No file of that name: it can only have come from control.
        filter: Some(EnvoyFilter {
            module: "nowhere.wasm".into(),
            configuration,
            credential: None,
        }),
        module_from_control: Some(sha256),
        control: Some(control.address()),
        routes: vec![EnvoyRoute::new("/kubernetes", server.address())],
        ..EnvoyConfig::default()
    })
    .await?;
    let call = || http.get(format!("{}/kubernetes/mcp", envoy.url()));
    let refused = call().send().await?;
    assert_eq!(refused.status(), 401);
    let body: Value = refused.json().await?;
    assert_eq!(body["refusal"], "missing_bearer");
    assert_eq!(server.counts().requests, 0);
    let fresh = call()
        .bearer_auth(dex.mint(EMAIL, "muster").token())
        .send()
        .await?;
    assert_ne!(fresh.status(), 401);
    assert_eq!(server.counts().requests, 1);
    Ok(())
}
