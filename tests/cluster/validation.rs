//! Everything that the repository gives to `kubectl apply`, validated by the API server: strictly, CEL rules included.

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::parts::cluster::{ApiServer, KubeClient};
use tokenward_harness::parts::documents;
use tokenward_tests::pages::{blocks, document, pages};

use super::installing::merged;
use super::resources::exchanging;

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
async fn every_manifest_is_accepted_strictly() -> anyhow::Result<()> {
    let client = ApiServer::shared().await?.client()?;
    client.create_namespace(NAMESPACE).await?;
    let mut accepted = 0;
    for path in MANIFESTS {
        accepted += accept_all(&client, &document(path)?, path).await?;
    }
    assert!(accepted >= 40, "{accepted} resources");
    println!("{accepted} resources of manifests");
    Ok(())
}

/// A page's YAML: whole resources, parts of resources with the rest around them, and what is no resource.
#[derive(Debug, Default)]
struct OfPages {
    whole: Vec<(String, Value)>,
    parts: Vec<(String, Value)>,
    others: usize,
}

impl OfPages {
    fn read() -> anyhow::Result<Self> {
        let mut found = Self::default();
        for page in pages()? {
            for block in blocks(&page, "yaml")? {
                for yaml in format!("\n{block}").split("\n---\n") {
                    let value: Value = serde_saphyr::from_str(yaml).with_context(|| page.clone())?;
                    found.add(&page, value)?;
                }
            }
        }
        Ok(found)
    }

    fn add(&mut self, page: &str, value: Value) -> anyhow::Result<()> {
        match (value["apiVersion"].is_string(), value["kind"].is_string()) {
            (true, true) => self.whole.push((page.to_owned(), value)),
            (false, false) => match whole_of(&value) {
                Some(whole) => self.parts.push((page.to_owned(), whole)),
                None => self.others += 1,
            },
            _ => anyhow::bail!("{page}: apiVersion without kind, or kind without apiVersion: {value}"),
        }
        Ok(())
    }
}

/// The resource of which a page shows one field: the rules of a Role, or the `spec` of an MCPServer that exchanges.
fn whole_of(part: &Value) -> Option<Value> {
    let part = part.as_object().filter(|part| part.len() == 1)?;
    let (field, value) = part.iter().next()?;
    match field.as_str() {
        "rules" => Some(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "of-a-page"}, "rules": value,
        })),
        "spec" => {
            let spec = exchanging("/kubernetes-remote", "remote-exchange");
            Some(json!({
                "apiVersion": "muster.giantswarm.io/v1alpha1", "kind": "MCPServer",
                "metadata": {"name": "of-a-page"}, "spec": merged(&spec, value),
            }))
        }
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_resource_that_a_page_shows_is_accepted_strictly() -> anyhow::Result<()> {
    let client = ApiServer::shared().await?.client()?;
    client.create_namespace(NAMESPACE).await?;
    let found = OfPages::read()?;
    for (page, resource) in found.whole.iter().chain(&found.parts) {
        let mut resource = resource.clone();
        resource["metadata"]["namespace"] = json!(NAMESPACE);
        client.apply(&resource).await.with_context(|| page.clone())?;
    }
    // In whatever block a page names an API version.
    let mut named = 0;
    for page in pages()? {
        let page = document(&page)?;
        named += page
            .lines()
            .filter(|line| line.trim_start().starts_with("apiVersion:"))
            .count();
    }
    assert_eq!(found.whole.len(), named, "{:?}", found.whole);
    assert!(named >= 3, "{named} resources");
    assert_eq!(found.parts.len(), 2, "{:?}", found.parts);
    println!(
        "{named} resources of pages, {} parts of resources, {} blocks of other YAML",
        found.parts.len(),
        found.others
    );
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
