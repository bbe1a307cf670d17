//! What the chart gives control for its watches: nothing unless they are configured, and then the rights of docs/kubernetes.md.

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::parts::{Chart, Rendered};

use super::page::document;
use super::rendering::{chart, values, with};

const KINDS: [&str; 4] = ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];

fn watching(section: Value) -> Value {
    with(&[("/kubernetes", section)])
}

fn rights(rendered: &[Rendered]) -> anyhow::Result<Vec<Value>> {
    let ours = rendered
        .iter()
        .filter(|resource| KINDS.contains(&resource.kind.as_str()));
    ours.map(|resource| Ok(serde_saphyr::from_str(&resource.yaml)?))
        .collect()
}

/// Whether the pod gets a token of the API server.
fn mounts_a_token(rendered: &[Rendered]) -> anyhow::Result<bool> {
    let deployment = rendered
        .iter()
        .find(|resource| resource.kind == "Deployment")
        .context("no Deployment")?;
    let deployment: Value = serde_saphyr::from_str(&deployment.yaml)?;
    let mounts = &deployment["spec"]["template"]["spec"]["automountServiceAccountToken"];
    mounts.as_bool().context("it must say so")
}

fn role(chart: &Chart, section: Value, kind: &str, name: &str) -> anyhow::Result<Value> {
    let rights = rights(&chart.render(&watching(section))?)?;
    let found = rights
        .into_iter()
        .find(|role| role["kind"] == kind && role["metadata"]["name"] == name);
    found.with_context(|| format!("no {kind} {name}"))
}

#[test]
fn without_watches_control_has_no_rights_and_no_token() -> anyhow::Result<()> {
    let Some(chart) = chart("the rights of control")? else {
        return Ok(());
    };
    let rendered = chart.render(&values())?;
    assert!(rights(&rendered)?.is_empty());
    assert!(!mounts_a_token(&rendered)?);
    let own = chart.render(&watching(json!({
        "enabled": true, "resources": [{"namespaces": ["muster"]}], "rbac": {"create": false},
    })))?;
    assert!(rights(&own)?.is_empty());
    assert!(mounts_a_token(&own)?);
    Ok(())
}

#[test]
fn the_rights_are_those_of_the_documentation() -> anyhow::Result<()> {
    let Some(chart) = chart("the rights of control")? else {
        return Ok(());
    };
    let section = json!({
        "enabled": true, "resources": [{"namespaces": ["muster", "other"]}], "exchangeHosts": ["*.dex.example.com"],
        "secretNames": ["remote-exchange"],
    });
    let rendered = chart.render(&watching(section.clone()))?;
    assert_eq!(
        rights(&rendered)?.len(),
        6,
        "a role and its binding for the Lease and for each namespace"
    );
    let page = document("docs/kubernetes.md")?;
    let (_, rest) = page
        .split_once("```yaml\nrules:\n")
        .context("no rules on the page")?;
    let (rules, _) = rest.split_once("```").context("no end")?;
    let documented: Value = serde_saphyr::from_str(&format!("rules:\n{rules}"))?;
    assert_eq!(
        role(&chart, section, "Role", "tokenward-resources")?["rules"],
        documented["rules"]
    );
    Ok(())
}

#[test]
fn secrets_are_readable_only_where_exchanges_are_allowed_and_all_namespaces_need_a_cluster_role()
-> anyhow::Result<()> {
    let Some(chart) = chart("the rights of control")? else {
        return Ok(());
    };
    let all = json!({"enabled": true, "resources": [{"namespaces": ["*"]}]});
    let role = role(&chart, all, "ClusterRole", "mcp-tokenward-resources")?;
    let rules = role["rules"].as_array().context("no rules")?;
    assert!(
        rules.iter().all(|rule| rule["resources"] != json!(["secrets"])),
        "{role:#}"
    );
    let refused = chart
        .render(&watching(json!({"enabled": true})))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("kubernetes.resources is empty"), "{refused}");
    Ok(())
}
