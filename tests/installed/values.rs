//! The chart's values as operators set them: further settings of the pod, null, and OpenShift.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokenward_harness::parts::{Chart, Rendered};

use super::page::document;
use super::rendering::{chart, values, whole, with};

/// Helm processes that run at once.
const AT_ONCE: usize = 4;

/// The dotted names of all values in a map, each map before its members.
fn names(map: &Value, parent: &str) -> Vec<String> {
    let members = map.as_object().into_iter().flatten();
    members
        .flat_map(|(key, value)| {
            let name = format!("{parent}{key}");
            let below = names(value, &format!("{name}."));
            std::iter::once(name).chain(below)
        })
        .collect()
}

/// The values that turn on everything, with this one null.
fn with_null(name: &str) -> anyhow::Result<Value> {
    let mut values = with(&[("/authorization", json!({"issuer": "https://login.example.com"}))]);
    let (parents, key) = name.rsplit_once('.').unwrap_or(("", name));
    let mut place = &mut values;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        place = place
            .as_object_mut()
            .context("no map")?
            .entry(parent)
            .or_insert_with(|| json!({}));
    }
    place[key] = Value::Null;
    Ok(values)
}

/// What became of a value that is null.
enum Answer {
    Rendered(String),
    Refused,
}

fn answer(chart: &Chart, name: &str) -> anyhow::Result<Answer> {
    let yaml = match chart.render(&with_null(name)?) {
        Ok(rendered) => rendered,
        Err(error) => {
            let said = error.to_string();
            let ours = format!("{name} is null: leave it out for its default, or give it a value");
            let sentences = [ours.as_str(), " is empty: ", "enable exactly one of "];
            ensure!(
                sentences.iter().any(|sentence| said.contains(sentence)) && !said.contains("nil pointer"),
                "{name}: {said}"
            );
            return Ok(Answer::Refused);
        }
    };
    let yaml: Vec<String> = yaml.into_iter().map(|resource| resource.yaml).collect();
    for resource in &yaml {
        // A threshold of a panel is null where it has no lower end.
        let traces = match resource.contains(r#""panels":"#) {
            true => &["<nil>", "<no value>"][..],
            false => &["<nil>", "<no value>", ": null"],
        };
        for trace in traces {
            ensure!(!resource.contains(trace), "{name}: the resources contain {trace}");
        }
    }
    let yaml = yaml.join("\n---\n");
    Ok(Answer::Rendered(yaml))
}

#[test]
fn every_documented_value_may_be_null_and_renders_or_is_refused_by_name() -> anyhow::Result<()> {
    let Some(chart) = chart("values that are null")? else {
        return Ok(());
    };
    let names = names(
        &serde_saphyr::from_str(&document("envoy/chart/values.yaml")?)?,
        "",
    );
    ensure!(names.len() > 150, "only {} values", names.len());
    let share = names.len().div_ceil(AT_ONCE);
    let answers = std::thread::scope(|scope| {
        let shares: Vec<_> = names.chunks(share).collect();
        let tasks: Vec<_> = shares
            .into_iter()
            .map(|names| {
                let chart = &chart;
                scope.spawn(move || -> anyhow::Result<Vec<Answer>> {
                    names.iter().map(|name| answer(chart, name)).collect()
                })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            match task.join() {
                Ok(found) => answers.extend(found?),
                Err(_) => anyhow::bail!("a task panicked"),
            }
        }
        Ok(answers)
    })?;
    let rendered: BTreeSet<&String> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Rendered(yaml) => Some(yaml),
            Answer::Refused => None,
        })
        .collect();
    let refused = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Refused))
        .count();
    assert_eq!(answers.len(), names.len());
    assert!(refused > 50, "{refused} are refused");
    assert!(rendered.len() > 10, "{} renderings differ", rendered.len());
    let all: Vec<&str> = rendered.iter().map(|yaml| yaml.as_str()).collect();
    chart.validate(&all.join("\n---\n"))?;
    Ok(())
}

/// The Deployment among `rendered`.
fn deployment(rendered: &[Rendered]) -> anyhow::Result<Value> {
    of_kind(rendered, "Deployment")
}

/// The first resource of this kind among `rendered`.
pub(crate) fn of_kind(rendered: &[Rendered], kind: &str) -> anyhow::Result<Value> {
    let resource = rendered.iter().find(|resource| resource.kind == kind);
    let yaml = &resource.with_context(|| format!("no {kind}"))?.yaml;
    Ok(serde_saphyr::from_str(yaml)?)
}

#[test]
fn further_settings_reach_the_pod_and_are_valid() -> anyhow::Result<()> {
    let Some(chart) = chart("further settings of the pod")? else {
        return Ok(());
    };
    let sidecar = json!({"name": "proxy", "image": "registry.example.com/proxy:1"});
    let spread = json!({
        "maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"a": "b"}},
    });
    let settings = with(&[
        ("/commonLabels", json!({"team": "identity"})),
        ("/logLevel", json!("debug")),
        ("/logFormat", json!("text")),
        ("/extraArgs", json!(["--address-file", "/tmp/address"])),
        ("/extraEnv", json!([{"name": "TZ", "value": "UTC"}])),
        (
            "/extraEnvFrom",
            json!([{"configMapRef": {"name": "environment"}}]),
        ),
        ("/extraVolumes", json!([{"name": "scratch", "emptyDir": {}}])),
        (
            "/extraVolumeMounts",
            json!([{"name": "scratch", "mountPath": "/tmp"}]),
        ),
        ("/extraContainers", json!([sidecar])),
        (
            "/extraInitContainers",
            json!([{"name": "wait", "image": "registry.example.com/wait:1"}]),
        ),
        ("/deploymentAnnotations", json!({"reloader": "true"})),
        ("/podAnnotations", json!({"scrape": "false"})),
        ("/podLabels", json!({"tier": "auth"})),
        ("/priorityClassName", json!("system-cluster-critical")),
        ("/runtimeClassName", json!("gvisor")),
        (
            "/hostAliases",
            json!([{"ip": "192.0.2.1", "hostnames": ["dex.example.com"]}]),
        ),
        ("/dnsPolicy", json!("ClusterFirst")),
        (
            "/dnsConfig",
            json!({"options": [{"name": "ndots", "value": "1"}]}),
        ),
        ("/topologySpreadConstraints", json!([spread])),
        ("/revisionHistoryLimit", json!(7)),
        (
            "/service",
            json!({"type": "LoadBalancer", "labels": {"expose": "no"}, "ipFamilyPolicy": "PreferDualStack"}),
        ),
        (
            "/serviceMonitor",
            json!({
                "enabled": true, "namespace": "monitoring", "scrapeTimeout": "10s", "jobLabel": "app.kubernetes.io/name",
                "annotations": {"a": "b"}, "relabelings": [{"targetLabel": "cluster", "replacement": "one"}],
                "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "process_.*"}],
            }),
        ),
    ]);
    let rendered = chart.render(&settings)?;
    chart.validate(&whole(&chart, &settings)?)?;
    let unlabelled = rendered
        .iter()
        .filter(|resource| !resource.yaml.contains("team: identity"));
    let unlabelled: Vec<&str> = unlabelled.map(|resource| resource.kind.as_str()).collect();
    assert_eq!(unlabelled, [""; 0]);

    let deployment = deployment(&rendered)?;
    let template = &deployment["spec"]["template"];
    let (pod, control) = (&template["spec"], &template["spec"]["containers"][0]);
    let arguments: Vec<&str> = control["args"]
        .as_array()
        .context("no args")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        arguments.ends_with(&["--log", "text", "--address-file", "/tmp/address"]),
        "{arguments:?}"
    );
    let environment = control["env"].as_array().context("no env")?;
    assert!(environment.contains(&json!({"name": "RUST_LOG", "value": "debug"})));
    assert!(environment.contains(&json!({"name": "TZ", "value": "UTC"})));
    assert_eq!(control["envFrom"][0]["configMapRef"]["name"], "environment");
    assert_eq!(deployment["metadata"]["annotations"]["reloader"], "true");
    assert_eq!(template["metadata"]["annotations"]["scrape"], "false");
    assert_eq!(template["metadata"]["labels"]["tier"], "auth");
    assert_eq!(deployment["spec"]["revisionHistoryLimit"], 7);
    assert_eq!(pod["topologySpreadConstraints"], json!([spread]));
    assert_eq!(pod["containers"][1], sidecar);
    assert_eq!(pod["initContainers"][0]["name"], "wait");
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    for list in [&pod["volumes"], &control["volumeMounts"]] {
        let named = list
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| entry["name"] == "scratch");
        assert_eq!(named.count(), 1, "{list}");
    }
    let service = of_kind(&rendered, "Service")?;
    assert_eq!(service["spec"]["type"], "LoadBalancer");
    assert_eq!(service["metadata"]["labels"]["expose"], "no");
    let monitor = of_kind(&rendered, "ServiceMonitor")?;
    assert_eq!(monitor["metadata"]["namespace"], "monitoring");
    assert_eq!(monitor["spec"]["namespaceSelector"]["matchNames"], json!(["mcp"]));
    assert_eq!(monitor["spec"]["endpoints"][0]["scrapeTimeout"], "10s");
    Ok(())
}

/// OpenShift refuses ids outside of the namespace's own range.
#[test]
fn on_openshift_and_where_they_are_null_the_chart_fixes_no_ids() -> anyhow::Result<()> {
    const IDS: [&str; 3] = ["runAsUser", "runAsGroup", "fsGroup"];
    let Some(chart) = chart("security contexts")? else {
        return Ok(());
    };
    let context = |rendered: &[Rendered]| -> anyhow::Result<Value> {
        Ok(deployment(rendered)?["spec"]["template"]["spec"]["securityContext"].clone())
    };
    let usual = context(&chart.render(&values())?)?;
    assert!(IDS.iter().all(|id| usual[id] == 65532), "{usual}");
    let openshift = chart.render_for(&values(), &["security.openshift.io/v1"])?;
    let null = json!({"runAsUser": null, "runAsGroup": null, "fsGroup": null});
    let by_hand = chart.render(&with(&[("/podSecurityContext", null)]))?;
    for rendered in [openshift, by_hand] {
        let context = context(&rendered)?;
        assert!(IDS.iter().all(|id| context.get(id).is_none()), "{context}");
        assert_eq!(context["runAsNonRoot"], true);
        let test = of_kind(&rendered, "Pod")?;
        assert_eq!(test["spec"]["securityContext"], context);
    }
    Ok(())
}

#[test]
fn labels_that_the_chart_sets_itself_are_refused() -> anyhow::Result<()> {
    let Some(chart) = chart("labels of one's own")? else {
        return Ok(());
    };
    let taken = json!({"app.kubernetes.io/name": "other"});
    let finding = chart
        .render(&with(&[("/commonLabels", taken)]))
        .unwrap_err()
        .to_string();
    assert!(
        finding.contains("commonLabels: the chart itself sets app.kubernetes.io/name"),
        "{finding}"
    );
    Ok(())
}
