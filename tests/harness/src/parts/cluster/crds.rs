//! The CustomResourceDefinitions that `cargo xtask setup --with-cluster` fetched, and those of aggregators and of cert-manager
//! that it does not fetch: reduced to the fields that matter here.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::super::{documents, tools};
use super::{KubeClient, Named};

const IS_MISSING: &str = "target/tools/crds is missing: run `cargo xtask setup --with-cluster`";
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);
const API: &str = "apiextensions.k8s.io/v1";
const KIND: &str = "CustomResourceDefinition";

/// Installs every CRD, and waits until the API server serves them; their names.
///
/// # Errors
/// When they are not there, or the API server refuses one.
pub async fn install(client: &KubeClient) -> anyhow::Result<Vec<String>> {
    let fetched = tools::crds().context(IS_MISSING)?;
    let own = tools::workspace().join("tests/cluster/crds");
    let mut names = Vec::new();
    for folder in folders(&fetched)?.iter().chain([&own]) {
        names.extend(apply_folder(client, folder).await?);
    }
    for name in &names {
        wait_until_established(client, name).await?;
    }
    Ok(names)
}

/// Waits until the API server serves a CRD.
///
/// # Errors
/// When it does not.
pub async fn wait_until_established(client: &KubeClient, name: &str) -> anyhow::Result<()> {
    let named = Named {
        api: API,
        kind: KIND,
        namespace: "",
        name,
    };
    client
        .wait_for(named, ESTABLISHED_WITHIN, |crd| {
            let conditions = crd["status"]["conditions"].as_array().into_iter().flatten();
            let mut established = conditions.filter(|condition| condition["type"] == "Established");
            established.any(|condition| condition["status"] == "True")
        })
        .await?;
    Ok(())
}

async fn apply_folder(client: &KubeClient, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    let mut names = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        for document in documents(&text) {
            if document.kind != KIND {
                continue;
            }
            let crd: serde_json::Value =
                serde_saphyr::from_str(&document.yaml).with_context(|| format!("{}", file.display()))?;
            client.apply(&crd).await?;
            names.push(crd["metadata"]["name"].as_str().context("no name")?.to_owned());
        }
    }
    Ok(names)
}

fn folders(parent: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut folders: Vec<_> = std::fs::read_dir(parent)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    Ok(folders)
}
