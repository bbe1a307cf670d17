//! An aggregator's resources as values of the chart.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokenward_harness::parts::tools;

use super::rendering::{chart, values, whole};

/// Sixteen servers of an aggregator become values without an edit.
#[test]
fn what_import_prints_as_values_needs_no_edit_and_takes_every_client_from_its_secret() -> anyhow::Result<()> {
    let Some(chart) = chart("imported values")? else {
        return Ok(());
    };
    let resources: Vec<Value> = (1..=16)
        .map(|number| {
            json!({
                "apiVersion": "muster.giantswarm.io/v1alpha1", "kind": "MCPServer",
                "metadata": {"name": format!("cluster-{number}"), "namespace": "muster"},
                "spec": {"type": "streamable-http", "url": format!("https://mcp.example.com/{number}"), "auth": {
                    "type": "oauth", "requiredAudiences": ["kube"], "tokenExchange": {
                        "enabled": true, "dexTokenEndpoint": format!("https://dex.{number}.example.com/token"),
                        "connectorId": "home", "clientCredentialsSecretRef": {"name": format!("exchange-{number}")},
                    },
                }},
            })
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": resources}).to_string();
    let printed = import(&list)?;
    let servers: Value = serde_saphyr::from_str(&printed)?;
    let mut values = values();
    values["servers"] = servers["servers"].clone();
    assert_eq!(values["servers"].as_array().map(Vec::len), Some(16));
    let rendered = chart.render(&values)?;
    chart.validate(&whole(&chart, &values)?)?;
    let config = rendered
        .iter()
        .find(|resource| resource.yaml.contains("tokenward.yaml: |"))
        .context("no configuration")?;
    for key in ["client-id", "client-secret"] {
        let files = config.yaml.matches(&format!("/{key}\n")).count();
        let of_the_issuer = usize::from(key == "client-secret");
        assert_eq!(files, 16 + of_the_issuer, "{key}: {}", config.yaml);
    }
    Ok(())
}

fn import(resources: &str) -> anyhow::Result<String> {
    let mut import = Command::new(tools::tokenward()?)
        .args(["import", "-", "--values"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    import
        .stdin
        .take()
        .context("no standard input")?
        .write_all(resources.as_bytes())?;
    let run = import.wait_with_output()?;
    ensure!(run.status.success(), "import failed");
    Ok(String::from_utf8(run.stdout)?)
}
