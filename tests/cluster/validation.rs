//! Everything that the repository gives to `kubectl apply`, validated by the API server: strictly, CEL rules included.

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::parts::cluster::{ApiServer, KubeClient};
use tokenward_harness::parts::documents;
use tokenward_tests::pages::{blocks, document};

/// Files of whole resources.
const MANIFESTS: [&str; 4] = [
    "envoy/gateway/gateway.yaml",
    "envoy/gateway/with-patches.yaml",
    "envoy/gateway/without-patches.yaml",
    "envoy/gateway/login.yaml",
];
const NAMESPACE: &str = "mcp";

async fn accept_all(client: &KubeClient, stream: &str, from: &str) -> anyhow::Result<usize> {
    client
        .apply_all(stream, NAMESPACE)
        .await
        .with_context(|| from.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_manifest_and_every_resource_of_a_page_is_accepted_strictly() -> anyhow::Result<()> {
    let client = ApiServer::shared().await?.client()?;
    client.create_namespace(NAMESPACE).await?;
    let mut accepted = 0;
    for path in MANIFESTS {
        accepted += accept_all(&client, &document(path)?, path).await?;
    }
    assert!(accepted >= 40, "{accepted} resources");
    let mut of_pages = 0;
    for entry in std::fs::read_dir(tokenward_harness::parts::tools::workspace().join("docs"))? {
        let name = entry?.file_name().into_string().ok().context("no text")?;
        let extension = std::path::Path::new(&name).extension();
        if extension.is_none_or(|extension| extension != "md") {
            continue;
        }
        let page = format!("docs/{name}");
        for block in blocks(&page, "yaml")? {
            // cert-manager is not part of this cluster.
            if block.contains("\nkind: ") && !block.contains("cert-manager.io/v1\n") {
                of_pages += accept_all(&client, &block, &page).await?;
            }
        }
    }
    println!("{accepted} resources of manifests, {of_pages} of pages");
    Ok(())
}

/// Fields, schemas and CEL rules: one wrong input for each kind of check, and what the API server says of it.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_and_broken_rules_are_refused_by_name() -> anyhow::Result<()> {
    let client = ApiServer::shared().await?.client()?;
    client.create_namespace("refused").await?;
    let good = document("envoy/gateway/with-patches.yaml")?;
    let broken = [
        (
            "EnvoyExtensionPolicy",
            "rootID: tokenward",
            "rootId: tokenward",
            "rootId",
        ),
        (
            "Deployment",
            "readOnlyRootFilesystem: true",
            "readOnlyRootFileSystem: true",
            "readOnlyRootFileSystem",
        ),
        ("EnvoyPatchPolicy", "type: JSONPatch", "type: Merge", "JSONPatch"),
        (
            "EnvoyExtensionPolicy",
            "type: HTTP\n      ",
            "type: Image\n      ",
            "Image",
        ),
        ("ServiceMonitor", "interval: 30s", "interval: thirty", "interval"),
        ("HTTPRoute", "type: PathPrefix", "type: Prefix", "PathPrefix"),
    ];
    for (kind, from, to, named) in broken {
        let resource = documents(&good)
            .into_iter()
            .find(|resource| resource.kind == kind && resource.yaml.contains(from))
            .with_context(|| format!("no {kind} with {from}"))?;
        let mut resource: Value = serde_saphyr::from_str(&resource.yaml.replacen(from, to, 1))?;
        resource["metadata"]["namespace"] = json!("refused");
        let answer = client.try_apply(&resource).await?;
        assert!(answer.status >= 400, "{to}: {}", answer.status);
        assert!(answer.message().contains(named), "{to}: {}", answer.message());
    }
    Ok(())
}
