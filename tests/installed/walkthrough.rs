//! The commands of `docs/install.md`, compared with the chart and with what kubectl prints.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::{EnvoyGateway, tools, write_file};

use super::page::{blocks, commands_between, console_command, document};

/// The page's command that begins so, as it stands between backticks.
fn command(begin: &str) -> anyhow::Result<String> {
    let page = document("docs/install.md")?;
    let mut spans = page.split('`').skip(1).step_by(2);
    let found = spans.find(|span| span.starts_with(begin));
    Ok(found.with_context(|| format!("no {begin}"))?.to_owned())
}

/// A pod whose Secret is not there never starts.
#[test]
fn the_page_makes_every_secret_that_the_example_mounts_and_counts_them() -> anyhow::Result<()> {
    let page = document("docs/install.md")?.replace("\\\n", " ");
    let commands = page
        .lines()
        .filter_map(|line| line.split_once("-n mcp create secret generic "));
    let made: BTreeSet<String> = commands
        .flat_map(|(_, rest)| {
            let (name, keys) = rest.split_once(' ').unwrap_or((rest, ""));
            let keys = keys.split("--from-literal=").skip(1);
            keys.filter_map(|key| key.split_once('='))
                .map(|(key, _)| format!("{name}/{key}"))
                .collect::<Vec<_>>()
        })
        .collect();
    let example = document("envoy/gateway/with-patches.yaml")?;
    let read: BTreeSet<String> = example
        .lines()
        .filter_map(|line| line.split_once("file: /run/secrets/tokenward/"))
        .map(|(_, file)| file.trim().to_owned())
        .collect();
    assert_eq!(made, read);
    let secrets: BTreeSet<_> = made.iter().filter_map(|file| file.split('/').next()).collect();
    assert_eq!(secrets.len(), 5);
    assert!(page.contains("get secret` lists five"), "{secrets:?}");
    Ok(())
}

/// Not every Helm assumes a Kubernetes version that is new enough for the chart.
#[test]
fn any_helm_renders_the_values_that_one_begins_with() -> anyhow::Result<()> {
    let Some(helm) = tools::helm()? else {
        tokenward_harness::aloud!("left out: the page's rendering: {}", EnvoyGateway::IS_MISSING);
        return Ok(());
    };
    let command = command("helm template ")?;
    let arguments = command
        .strip_suffix(" > /dev/null")
        .context("it does not discard its output")?
        .replace("-f values.yaml", "-f envoy/gateway/values.yaml");
    let run = Command::new(helm)
        .args(arguments.split_whitespace().skip(1))
        .current_dir(tools::workspace())
        .output()?;
    assert_eq!(String::from_utf8_lossy(&run.stderr), "");
    assert!(run.status.success());
    Ok(())
}

/// As kubectl prints a policy's conditions: keys in the order of the alphabet.
fn printed(status: &str, next: &str) -> String {
    ["Accepted", "Programmed"]
        .map(|name| {
            format!(
                "    - lastTransitionTime: \"2026-01-02T03:04:05Z\"\n      message: why\n      observedGeneration: 1\n      \
                 reason: Reason\n      status: \"{status}\"\n      type: {name}\n{next}"
            )
        })
        .concat()
}

#[test]
fn the_check_of_the_policies_shows_a_conditions_own_status() -> anyhow::Result<()> {
    let command = command("kubectl -n mcp get envoyextensionpolicy,envoypatchpolicy")?;
    let (_, filter) = command.split_once('|').context("nothing is filtered")?;
    for (status, other) in [("True", "False"), ("False", "True")] {
        let between = format!("    - status: \"{other}\"\n      type: Other\n");
        let mut shell = Command::new("sh")
            .args(["-c", filter])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = shell.stdin.take().context("no input")?;
        input.write_all(printed(status, &between).as_bytes())?;
        drop(input);
        let shown = String::from_utf8(shell.wait_with_output()?.stdout)?;
        ensure!(
            shown.matches(&format!("status: \"{status}\"")).count() == 2,
            "{status}: {shown}"
        );
        ensure!(!shown.contains(other), "another condition's status: {shown}");
    }
    Ok(())
}

/// What the stories of `unmodified.rs` run, and the import below; `kubectl` alone needs a cluster.
const RUN: [&str; 6] = [
    "openid-configuration",
    "x-tokenward-control",
    "kubectl -n mcp port-forward",
    "/metrics",
    "--exchange-endpoint",
    "/exchange/kubernetes-remote/token",
];

#[test]
fn every_command_for_an_unmodified_aggregator_is_run() -> anyhow::Result<()> {
    let commands = commands_between("\n### A. The relay", "\n### C. ")?;
    assert_eq!(commands.len(), RUN.len(), "{commands:#?}");
    for part in RUN {
        let found = commands.iter().filter(|command| command.contains(part)).count();
        assert_eq!(found, 1, "{part}: {commands:#?}");
    }
    Ok(())
}

/// The command of B on the resource that the example's server was imported from, and what the page on muster shows.
#[test]
fn import_prints_the_two_fields_that_the_page_shows() -> anyhow::Result<()> {
    let command = console_command(&["import", "--exchange-endpoint"])?;
    let (_, arguments) = command
        .split_once(" import /w/mcpservers.yaml ")
        .context("no import")?;
    let example: Value = serde_saphyr::from_str(&document("envoy/gateway/values.yaml")?)?;
    let server = &example["servers"][1];
    let mut auth = server["auth"].clone();
    let exchange = auth["tokenExchange"].as_object_mut().context("no exchange")?;
    exchange.remove("clientId");
    let resource = json!({
        "apiVersion": "muster.giantswarm.io/v1alpha1", "kind": "MCPServer",
        "metadata": {"name": server["name"], "namespace": "muster"},
        "spec": {"type": "streamable-http", "url": server["resource"], "auth": auth},
    });
    let folder = TempDir::with_prefix("tokenward-import-")?;
    let file = write_file(&folder, "mcpservers.yaml", resource.to_string())?;
    let run = Command::new(tools::tokenward()?)
        .arg("import")
        .arg(file)
        .args(arguments.split_whitespace())
        .output()?;
    ensure!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let patch: Value = serde_saphyr::from_str(&String::from_utf8(run.stdout)?)?;
    let shown = blocks("docs/muster.md", "yaml")?;
    let shown: Value = serde_saphyr::from_str(shown.first().context("no block")?)?;
    assert_eq!(patch["metadata"]["name"], server["name"]);
    assert_eq!(patch["spec"]["auth"], shown["spec"]["auth"]);
    Ok(())
}
