//! The configuration of control that the chart writes, as control reads it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_control::config::Config;
use tokenward_control::filter_state::server_list::server_list_json;
use tokenward_harness::parts::{Chart, tools, write_file};

use super::authorization_rendering::{filter, with_authorization};
use super::rendering::{chart, values};

/// Control's configuration with its Secrets in place.
struct Written {
    file: PathBuf,
    /// How many Secrets it names.
    secrets: usize,
    _folder: TempDir,
}

impl Written {
    fn of(chart: &Chart, values: &Value) -> anyhow::Result<Self> {
        let rendered = chart.render(values)?;
        let written = rendered
            .iter()
            .find_map(|resource| resource.yaml.split_once("tokenward.yaml: |\n"))
            .context("no configuration")?
            .1;
        let folder = TempDir::with_prefix("tokenward-secrets-")?;
        let module = tools::filter_module()?;
        let configuration = written
            .lines()
            .map(|line| line.strip_prefix("    ").unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n")
            .replace(
                "/usr/share/tokenward/tokenward_filter.wasm",
                &module.display().to_string(),
            );
        let mut secrets = 0;
        for place in configuration
            .lines()
            .filter_map(|line| line.split_once("/run/secrets/tokenward/"))
        {
            let (secret, key) = place.1.split_once('/').context("no Secret and key")?;
            std::fs::create_dir_all(folder.path().join(secret))?;
            // 32 bytes in base64, each another one.
            let text = format!("{secrets:0>10}{}=", "A".repeat(33));
            write_file(&folder, format!("{secret}/{key}"), text)?;
            secrets += 1;
        }
        let configuration =
            configuration.replace("/run/secrets/tokenward", &folder.path().display().to_string());
        Ok(Self {
            file: write_file(&folder, "tokenward.yaml", configuration)?,
            secrets,
            _folder: folder,
        })
    }
}

/// Control's own validation of the configuration that the chart writes: with its Secrets in place, it is good.
#[test]
fn control_takes_the_configuration_that_the_chart_writes() -> anyhow::Result<()> {
    let Some(chart) = chart("control's configuration")? else {
        return Ok(());
    };
    let written = Written::of(&chart, &values())?;
    let run = Command::new(tools::tokenward()?)
        .args(["check", "--config"])
        .arg(written.file)
        .output()?;
    let printed = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(printed.contains("good (1 issuers, 2 servers)"), "{printed}");
    assert_eq!(written.secrets, 6);
    Ok(())
}

/// A filter that asks control learns what a policy with the servers in it tells one that does not.
#[test]
fn filters_learn_the_servers_that_a_static_policy_would_have() -> anyhow::Result<()> {
    let Some(chart) = chart("where the filter has its servers from")? else {
        return Ok(());
    };
    let from = |place: &str| {
        let mut values = values();
        values["gateway"]["filter"]["serversFrom"] = json!(place);
        values
    };
    let asking = filter(&chart, &values())?;
    assert_eq!((&asking["state"], &asking["servers"]), (&json!({}), &Value::Null));
    assert_eq!(asking, filter(&chart, &from("control"))?);
    let written = filter(&chart, &from("static"))?;
    assert_eq!(written["state"], Value::Null);

    let configuration = Written::of(&chart, &values())?;
    let config = Config::parse(&std::fs::read_to_string(configuration.file)?)?;
    let learned: Value = serde_json::from_slice(&server_list_json(&config))?;
    let mut servers = learned["servers"].clone();
    for server in servers.as_array_mut().context("a list")? {
        // The filter derives it; the policy states it where there is no authorization server.
        let resource = server
            .as_object_mut()
            .and_then(|server| server.remove("resource"));
        if let Some(resource) = resource {
            let resource = resource.as_str().context("a text")?;
            let document = "https://mcp.example.com/.well-known/oauth-protected-resource";
            server["resource_metadata"] = json!(resource.replacen("https://mcp.example.com", document, 1));
        }
    }
    assert_eq!(servers, written["servers"]);
    assert_eq!(servers.as_array().map(Vec::len), Some(2));

    let login = with_authorization(&[("/gateway/filter/serversFrom", json!("static"))]);
    assert_eq!(filter(&chart, &login)?["authorization_server"]["scope"], "mcp");
    let asking = with_authorization(&[]);
    assert_eq!(filter(&chart, &asking)?["authorization_server"], Value::Null);
    Ok(())
}

/// An issuer that would be called faster than an operator states is a fault that shows only in a storm.
#[test]
fn limits_of_issuers_reach_control() -> anyhow::Result<()> {
    let Some(chart) = chart("limits of issuers")? else {
        return Ok(());
    };
    let mut values = values();
    values["issuers"][0]["limits"] = json!({"callsPerSecond": 20, "concurrentCalls": 4});
    let remote = "https://other.example.com";
    values["controlSettings"]["remote_issuers"] =
        json!([{"issuer": remote, "limits": {"calls_per_second": 10, "burst": 10}}]);
    let written = Written::of(&chart, &values)?;
    let config = Config::parse(&std::fs::read_to_string(written.file)?)?;
    let home = config.limits_of(&config.issuers[0].issuer);
    assert_eq!(
        (home.calls_per_second, home.burst, home.concurrent_calls),
        (20, 40, 4)
    );
    let remote = config.limits_of(remote);
    assert_eq!((remote.calls_per_second, remote.burst), (10, 10));

    values["issuers"][0]["limits"] = json!({"callsPerSecond": 0});
    assert!(chart.render(&values).is_err(), "the schema has the bounds");
    Ok(())
}

/// Filters find a server without a look-up in Envoy where the chart knows host and path of its route, and nothing else may
/// take its requests.
#[test]
fn a_route_that_the_chart_makes_for_one_plain_host_and_path_is_the_servers_match() -> anyhow::Result<()> {
    let Some(chart) = chart("a route as the server's match")? else {
        return Ok(());
    };
    let with_route = |route: Value| -> anyhow::Result<(Value, Value)> {
        let mut values = values();
        let server = &mut values["servers"][0];
        for (field, value) in route.as_object().into_iter().flatten() {
            server["route"][field] = value.clone();
        }
        if let Some(fields) = server.as_object_mut() {
            fields.remove("match");
        }
        let written = Written::of(&chart, &values)?;
        let config = Config::parse(&std::fs::read_to_string(written.file)?)?;
        let learned: Value = serde_json::from_slice(&server_list_json(&config))?;
        let server = learned["servers"][0].clone();
        Ok((server["host"].clone(), server["path_prefix"].clone()))
    };
    assert_eq!(
        with_route(json!({}))?,
        (json!("mcp.example.com"), json!("/kubernetes"))
    );
    // Envoy would choose among routes by host first, the filter by path first; the annotation names these servers.
    for route in [
        json!({"hostnames": ["*.example.com"]}),
        json!({"hostnames": ["mcp.example.com", "mcp.example.org"]}),
        json!({"pathPrefix": "/"}),
        json!({"pathPrefix": "/a%20b"}),
    ] {
        assert_eq!(with_route(route.clone())?, (Value::Null, Value::Null), "{route}");
    }
    Ok(())
}
