//! The chart's alerts, the cases that `promtool` evaluates them with (tests/installed), and their runbooks: none lacks one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;
use tokenward_harness::parts::tools;

/// The files of cases, below tests/alerts.
const FILES: [&str; 4] = ["control.yaml", "issuers.yaml", "filter.yaml", "days.yaml"];

fn yaml(path: &str) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(tools::workspace().join(path))?;
    // The cases repeat the series of a healthy installation by YAML's aliases, more often than a stranger's file may.
    let options = serde_saphyr::options! { budget: None };
    serde_saphyr::from_str_with_options(&text, options).with_context(|| path.to_owned())
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Every alert by name.
fn alerts() -> anyhow::Result<BTreeMap<String, Value>> {
    let file = yaml("envoy/chart/files/alerts.yaml")?;
    let rules = list(&file, "groups").flat_map(|group| list(group, "rules"));
    let alerts: BTreeMap<_, _> = rules
        .map(|rule| (text(rule, "alert").to_owned(), rule.clone()))
        .collect();
    anyhow::ensure!(alerts.len() > 20, "{} alerts", alerts.len());
    Ok(alerts)
}

/// The alerts that a case expects to fire at its times, each time for itself.
fn firing_at_each_time(case: &Value) -> Vec<BTreeSet<String>> {
    let name = |sample: &Value| {
        let (_, rest) = text(sample, "labels").split_once("alertname=\"")?;
        Some(rest.split('"').next()?.to_owned())
    };
    list(case, "promql_expr_test")
        .map(|time| list(time, "exp_samples").filter_map(name).collect())
        .collect()
}

#[test]
fn each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> anyhow::Result<()> {
    let mut without: BTreeSet<(String, bool)> = BTreeSet::new();
    for alert in alerts()?.into_keys() {
        without.extend([(alert.clone(), true), (alert, false)]);
    }
    for file in FILES {
        let file = yaml(&format!("tests/alerts/{file}"))?;
        for case in list(&file, "tests") {
            let (alert, _) = text(case, "name")
                .split_once(": ")
                .context("a case without an alert")?;
            let times = firing_at_each_time(case);
            anyhow::ensure!(!times.is_empty(), "{alert}: a case without an expectation");
            let fires = times.iter().any(|firing| firing.contains(alert));
            without.remove(&(alert.to_owned(), fires));
        }
    }
    assert_eq!(without, BTreeSet::new(), "(alert, whether it should fire)");
    Ok(())
}

/// A case that looks at some alerts only would not see what else fires.
#[test]
fn each_case_lists_every_alert_that_fires() -> anyhow::Result<()> {
    let mut cases = 0;
    for name in FILES {
        let file = yaml(&format!("tests/alerts/{name}"))?;
        for case in list(&file, "tests") {
            for time in list(case, "promql_expr_test") {
                assert_eq!(text(time, "expr"), "ALERTS{alertstate=\"firing\"}", "{case}");
            }
            cases += 1;
        }
        assert_eq!(
            file["rule_files"],
            serde_json::json!(["../../envoy/chart/files/alerts.yaml"])
        );
    }
    assert!(cases > 48, "{cases}");
    Ok(())
}

#[test]
fn each_alert_states_its_severity_and_leads_to_its_own_runbook() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(tools::workspace().join("docs/troubleshooting.md"))?;
    let runbooks: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### Tokenward"))
        .map(|name| format!("Tokenward{name}"))
        .collect();
    let alerts = alerts()?;
    assert_eq!(runbooks, alerts.keys().cloned().collect());
    for (name, alert) in &alerts {
        let severity = text(&alert["labels"], "severity");
        assert!(["warning", "critical"].contains(&severity), "{name}: {severity}");
        let annotations = &alert["annotations"];
        assert_eq!(
            text(annotations, "runbook_url"),
            format!("docs/troubleshooting.md#{}", name.to_lowercase())
        );
        for key in ["summary", "description"] {
            assert!(text(annotations, key).len() > 20, "{name} has no {key}");
        }
    }
    Ok(())
}

/// Two installations in one Prometheus must not hide each other's failures.
#[test]
fn every_alert_is_aggregated_by_cluster_and_namespace() -> anyhow::Result<()> {
    for (name, alert) in alerts()? {
        let expression = text(&alert, "expr");
        let aggregations = expression.matches(" by (").count() + expression.matches(" on (").count();
        let complete = expression.matches("(cluster, namespace").count();
        assert!(aggregations > 0, "{name}: {expression}");
        assert_eq!(aggregations, complete, "{name}: {expression}");
    }
    Ok(())
}

/// A label that the expression drops prints nothing.
#[test]
fn annotations_name_labels_that_the_alert_has() -> anyhow::Result<()> {
    for (name, alert) in alerts()? {
        let expression = text(&alert, "expr");
        let annotations = alert["annotations"].to_string();
        for used in annotations.split("$labels.").skip(1) {
            let label: String = used.chars().take_while(char::is_ascii_alphanumeric).collect();
            let ends = [format!(", {label})"), format!(", {label},")];
            assert!(
                ends.iter().any(|end| expression.contains(end.as_str())),
                "{name}: {label}"
            );
        }
    }
    Ok(())
}
