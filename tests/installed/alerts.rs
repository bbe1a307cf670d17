//! The chart's alerts, evaluated by Prometheus' own promtool with the series of tests/alerts.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::{tools, write_file};

use crate::rendering::{chart, values, with};

/// promtool's cases. The paths in them are relative to their folder.
const CASES: [&str; 4] = ["control.yaml", "issuers.yaml", "filter.yaml", "days.yaml"];
const RULES: &str = "../../envoy/chart/files/alerts.yaml";

/// promtool's output for these arguments, and whether it succeeded; `None`, with a line on the terminal, without promtool.
fn promtool(story: &str, arguments: &[&Path]) -> anyhow::Result<Option<(bool, String)>> {
    let Some(program) = tools::promtool()? else {
        tokenward_harness::aloud!("left out: {story}: {}", tools::PROMETHEUS_IS_MISSING);
        return Ok(None);
    };
    let run = Command::new(program).args(arguments).output()?;
    let printed = [run.stdout, run.stderr].concat();
    Ok(Some((
        run.status.success(),
        String::from_utf8_lossy(&printed).into_owned(),
    )))
}

/// Runs all cases with these rules in place of the chart's file.
fn run_cases(story: &str, rules: &str) -> anyhow::Result<Option<(bool, String)>> {
    let folder = TempDir::with_prefix("tokenward-alerts-")?;
    let rules = write_file(&folder, "rules.yaml", rules)?;
    let mut files = Vec::new();
    for name in CASES {
        let cases = std::fs::read_to_string(tools::workspace().join("tests/alerts").join(name))?;
        ensure!(cases.matches(RULES).count() == 1, "{name} names other rules");
        files.push(write_file(
            &folder,
            name,
            cases.replace(RULES, &rules.display().to_string()),
        )?);
    }
    let mut arguments: Vec<&Path> = vec!["test".as_ref(), "rules".as_ref()];
    arguments.extend(files.iter().map(std::path::PathBuf::as_path));
    promtool(story, &arguments)
}

fn file() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(
        tools::workspace().join("envoy/chart/files/alerts.yaml"),
    )?)
}

/// The file with another expression for every alert.
fn with_expressions(expression: &str) -> anyhow::Result<(String, Vec<String>)> {
    let mut rules: Value = serde_saphyr::from_str(&file()?)?;
    let mut names = Vec::new();
    for group in rules["groups"].as_array_mut().context("no groups")? {
        for rule in group["rules"].as_array_mut().context("no rules")? {
            rule["expr"] = json!(expression);
            names.extend(rule["alert"].as_str().map(str::to_owned));
        }
    }
    Ok((rules.to_string(), names))
}

#[test]
fn each_alert_fires_for_what_it_is_about_and_is_silent_otherwise() -> anyhow::Result<()> {
    let Some((passed, printed)) = run_cases("alerts", &file()?)? else {
        return Ok(());
    };
    ensure!(passed, "{printed}");
    assert_eq!(printed.matches("SUCCESS").count(), CASES.len(), "{printed}");
    Ok(())
}

/// The cases are no tests of an alert that they pass without.
#[test]
fn the_cases_fail_without_each_alert_and_where_all_of_them_fire() -> anyhow::Result<()> {
    let (never, names) = with_expressions("vector(0) > 1")?;
    let Some((passed, printed)) = run_cases("alerts that never fire", &never)? else {
        return Ok(());
    };
    assert!(!passed);
    for name in &names {
        let missed = format!("exp: {{__name__=\"ALERTS\", alertname=\"{name}\"");
        assert!(
            printed.contains(&missed),
            "no case expects {name} to fire: {printed}"
        );
    }
    let (always, _) = with_expressions("vector(1)")?;
    let (passed, printed) = run_cases("alerts that always fire", &always)?.context("no promtool")?;
    assert!(!passed);
    let mut expectations = 0;
    for name in CASES {
        let cases = std::fs::read_to_string(tools::workspace().join("tests/alerts").join(name))?;
        expectations += cases.matches("eval_time: ").count();
    }
    let failed = printed.matches("expr: \"ALERTS").count();
    assert_eq!(failed, expectations, "{printed}");
    Ok(())
}

/// What the chart makes of the file.
fn rendered(values: &Value) -> anyhow::Result<Option<Value>> {
    let Some(chart) = chart("rendered alerts")? else {
        return Ok(None);
    };
    let mut resources = chart.render(values)?.into_iter();
    let rule = resources
        .find(|resource| resource.kind == "PrometheusRule")
        .context("no PrometheusRule")?;
    Ok(Some(serde_saphyr::from_str(&rule.yaml)?))
}

fn rules(resource: &Value) -> Vec<&Value> {
    let groups = resource["spec"]["groups"].as_array();
    let groups = groups.into_iter().flatten();
    groups
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
        .collect()
}

#[test]
fn the_chart_renders_the_alerts_that_are_tested() -> anyhow::Result<()> {
    let Some(resource) = rendered(&values())? else {
        return Ok(());
    };
    let Some((passed, printed)) = run_cases("rendered alerts", &resource["spec"].to_string())? else {
        return Ok(());
    };
    ensure!(passed, "{printed}");
    Ok(())
}

#[test]
fn labels_runbooks_and_the_choice_of_alerts_are_the_operators() -> anyhow::Result<()> {
    let settings = json!({
        "enabled": true, "aggregateBy": ["region", "stage"], "alertLabels": {"team": "identity"},
        "runbookUrl": "https://runbooks.example.com/tokenward", "disabled": ["TokenwardEnvoyMetricsAbsent"],
    });
    let Some(resource) = rendered(&with(&[("/prometheusRule", settings)]))? else {
        return Ok(());
    };
    let (_, names) = with_expressions("vector(1)")?;
    let rules = rules(&resource);
    assert_eq!(rules.len(), names.len() - 1);
    for rule in rules {
        let name = rule["alert"].as_str().context("no name")?;
        assert_ne!(name, "TokenwardEnvoyMetricsAbsent");
        let expression = rule["expr"].as_str().context("no expression")?;
        assert!(
            expression.contains("region, stage") && !expression.contains("cluster"),
            "{name}: {expression}"
        );
        assert_eq!(rule["labels"]["team"], "identity");
        assert!(rule["labels"]["severity"].is_string(), "{name}");
        let runbook = format!("https://runbooks.example.com/tokenward#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], runbook.as_str());
    }
    let misspelt = with(&[("/prometheusRule/disabled", json!(["TokenwardStoreDwon"]))]);
    let refused = rendered(&misspelt).unwrap_err().to_string();
    assert!(
        refused.contains("there is no alert TokenwardStoreDwon"),
        "{refused}"
    );
    Ok(())
}

/// Envoys of this Gateway and no others, with the label by which the alerts find them.
#[test]
fn the_pod_monitor_looks_at_the_gateways_envoys() -> anyhow::Result<()> {
    let Some(chart) = chart("the PodMonitor")? else {
        return Ok(());
    };
    let monitors = |values: &Value| -> anyhow::Result<Vec<Value>> {
        let resources = chart.render(values)?.into_iter();
        let monitors = resources.filter(|resource| resource.kind == "PodMonitor");
        monitors
            .map(|resource| Ok(serde_saphyr::from_str(&resource.yaml)?))
            .collect()
    };
    assert_eq!(monitors(&values())?.len(), 0, "off unless it is wanted");
    let on = with(&[(
        "/podMonitor",
        json!({"enabled": true, "labels": {"release": "prometheus"}}),
    )]);
    let [monitor] = &monitors(&on)?[..] else {
        panic!("one PodMonitor")
    };
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let selected = &monitor["spec"]["selector"]["matchLabels"];
    assert_eq!(
        selected["gateway.envoyproxy.io/owning-gateway-namespace"],
        "gateways"
    );
    assert_eq!(selected["gateway.envoyproxy.io/owning-gateway-name"], "mcp");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(
        (&endpoint["port"], &endpoint["path"]),
        (&json!("metrics"), &json!("/stats/prometheus"))
    );
    assert_eq!(
        endpoint["relabelings"][0],
        json!({"targetLabel": "gateway", "replacement": "gateways/mcp"})
    );
    let yaml = crate::rendering::whole(&chart, &on)?;
    assert!(chart.validate(&yaml)?.contains("PodMonitor 1"));
    Ok(())
}
