//! The chart's dashboard, every query of it evaluated by a real Prometheus that scrapes a running Envoy and control.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokenward_harness::parts::{Envoy, PrometheusServer, ScrapeTarget, tools};
use tokenward_harness::world::{ALICE, LOCAL, World};

const PATIENCE: Duration = Duration::from_secs(60);
const REMOTE: &str = "remote-1";
const GATEWAY: &str = "mcp/mcp";

fn dashboard() -> anyhow::Result<Value> {
    let file = tools::workspace().join("envoy/chart/files/dashboard.json");
    Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
}

fn panels(dashboard: &Value) -> anyhow::Result<&Vec<Value>> {
    dashboard["panels"].as_array().context("no panels")
}

/// Title and expression of each query.
fn queries(dashboard: &Value) -> anyhow::Result<Vec<(String, String)>> {
    let mut queries = Vec::new();
    for panel in panels(dashboard)? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().context("no title")?;
            let expression = target["expr"].as_str().context("no query")?;
            queries.push((title.to_owned(), expression.to_owned()));
        }
    }
    Ok(queries)
}

/// The expression as Grafana sends it, with this server chosen and everything of the other variables.
fn chosen(expression: &str, server: &str) -> String {
    expression
        .replace("$__rate_interval", "30s")
        .replace("$server", server)
        .replace("$namespace", ".*")
        .replace("$gateway", ".*")
        .replace("$issuer", ".*")
}

fn of_control(world: &World) -> ScrapeTarget {
    ScrapeTarget {
        address: world.control.address(),
        path: "/metrics",
        labels: vec![("namespace", "mcp".to_owned()), ("pod", "control-1".to_owned())],
    }
}

fn of_envoy(envoy: &Envoy, pod: &str) -> anyhow::Result<ScrapeTarget> {
    let address: SocketAddr = envoy
        .admin_url()
        .strip_prefix("http://")
        .context("no address")?
        .parse()?;
    Ok(ScrapeTarget {
        address,
        path: "/stats/prometheus",
        labels: vec![
            ("namespace", "gateways".to_owned()),
            ("gateway", GATEWAY.to_owned()),
            ("pod", pod.to_owned()),
        ],
    })
}

/// Prometheus with these targets, or a line that the story is left out.
async fn prometheus(story: &str, targets: &[ScrapeTarget]) -> anyhow::Result<Option<PrometheusServer>> {
    let server = PrometheusServer::start(targets).await?;
    if server.is_none() {
        tokenward_harness::aloud!("left out: {story}: {}", tools::PROMETHEUS_IS_MISSING);
    }
    Ok(server)
}

/// Users whose tokens are forwarded, replaced and exchanged, and nothing that is refused.
async fn a_world_in_which_all_is_well() -> anyhow::Result<World> {
    let world = World::builder().start().await?;
    let fresh = world.log_in(ALICE).await?;
    for server in [LOCAL, REMOTE] {
        let answer = world.call(server).login(&fresh).send().await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_has_samples_when_all_is_well() -> anyhow::Result<()> {
    let world = a_world_in_which_all_is_well().await?;
    let targets = [of_control(&world), of_envoy(&world.envoy, "envoy-1")?];
    let Some(prometheus) = prometheus("the dashboard", &targets).await? else {
        return Ok(());
    };
    let stale = world.log_in_an_hour_ago(ALICE).await?;
    for settled in [
        "count_over_time(tokenward_build_info[1m]) > 3",
        "count_over_time(envoy_server_live[1m]) > 3",
        "count(tokenward_sessions) == 2",
    ] {
        prometheus.wait_for(settled, PATIENCE).await?;
    }
    assert_eq!(
        world.call(REMOTE).login(&stale).send().await?.status,
        200,
        "a token is replaced while Prometheus looks"
    );
    prometheus
        .wait_for(
            "sum(tokenward_requests_total{outcome=\"replaced\"}) > 0",
            PATIENCE,
        )
        .await?;
    let dashboard = dashboard()?;
    let queries = queries(&dashboard)?;
    assert!(queries.len() > 35, "{}", queries.len());
    for (title, expression) in &queries {
        let samples = prometheus.query(&chosen(expression, ".*")).await?;
        assert!(!samples.is_empty(), "No data: {title}: {expression}");
        for sample in &samples {
            let value = sample["value"][1].as_str().context("no value")?;
            let number: f64 = value.parse()?;
            assert!(number.is_finite(), "{title}: {sample}");
        }
        // Whichever server is chosen, nothing of another one shows.
        for sample in prometheus.query(&chosen(expression, LOCAL)).await? {
            let server = sample["metric"]["server"].as_str().unwrap_or(LOCAL);
            assert!([LOCAL, "unknown", "none"].contains(&server), "{title}: {sample}");
        }
    }
    let missing = prometheus.query(&alert("TokenwardFilterMissing")?).await?;
    assert_eq!(missing, Vec::<Value>::new());
    let shown = prometheus.query(&without_the_filter()?).await?;
    assert_eq!(shown[0]["value"][1], "0", "{shown:?}");
    variables_have_values(&dashboard, &prometheus).await
}

/// The query of the panel that counts Envoys without the filter.
fn without_the_filter() -> anyhow::Result<String> {
    let mut queries = queries(&dashboard()?)?.into_iter();
    let (_, expression) = queries
        .find(|(title, _)| title == "Envoys without the filter")
        .context("no such panel")?;
    Ok(chosen(&expression, ".*"))
}

/// What each drop-down list offers: `label_values(METRIC, LABEL)` is asked for as a query.
async fn variables_have_values(dashboard: &Value, prometheus: &PrometheusServer) -> anyhow::Result<()> {
    let variables = dashboard["templating"]["list"]
        .as_array()
        .context("no variables")?;
    let mut names = BTreeSet::new();
    for variable in variables {
        let name = variable["name"].as_str().context("no name")?;
        names.insert(name);
        let Some(query) = variable["query"]["query"].as_str() else {
            assert_eq!(variable["type"], "datasource", "{name}");
            continue;
        };
        let (metric, label) = query
            .strip_prefix("label_values(")
            .and_then(|query| query.strip_suffix(')'))
            .and_then(|query| query.rsplit_once(", "))
            .with_context(|| query.to_owned())?;
        let samples = prometheus
            .query(&format!("group by ({label}) ({metric})"))
            .await?;
        let has_value = |sample: &Value| sample["metric"][label].as_str().is_some();
        assert!(samples.iter().any(has_value), "{name}: {samples:?}");
    }
    let expected = ["datasource", "namespace", "gateway", "server", "issuer"];
    assert_eq!(names, expected.into());
    Ok(())
}

#[test]
fn each_panel_has_a_place_a_title_and_the_chosen_data_source() -> anyhow::Result<()> {
    let dashboard = dashboard()?;
    let (mut ids, mut rows, mut places) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for panel in panels(&dashboard)? {
        let title = panel["title"].as_str().context("no title")?;
        assert!(ids.insert(panel["id"].as_u64()), "{title}");
        let at = &panel["gridPos"];
        let place = (at["y"].as_u64(), at["x"].as_u64());
        assert!(places.insert(place), "{title} lies on another panel");
        if panel["type"] == "row" {
            rows.push(title);
        } else {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert_eq!(rows, ["At a glance", "Filter", "Control", "Issuers", "Store"]);
    Ok(())
}

/// The expression of an alert of the chart.
fn alert(name: &str) -> anyhow::Result<String> {
    let file = tools::workspace().join("envoy/chart/files/alerts.yaml");
    let rules: Value = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    let groups = rules["groups"].as_array().into_iter().flatten();
    let mut alerts = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let alert = alerts
        .find(|rule| rule["alert"] == name)
        .with_context(|| name.to_owned())?;
    Ok(alert["expr"].as_str().context("no expression")?.to_owned())
}

/// As when a second policy on the Gateway makes ours `Conflicted`: Envoy has a listener without the filter.
#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_without_the_filter_is_seen_by_the_alert_and_on_the_dashboard() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let mut config = world.envoy.config().clone();
    config.filter = None;
    let bare = Envoy::start(&config).await?;
    let targets = [
        of_control(&world),
        of_envoy(&world.envoy, "envoy-1")?,
        of_envoy(&bare, "envoy-2")?,
    ];
    let Some(prometheus) = prometheus("an Envoy without the filter", &targets).await? else {
        return Ok(());
    };
    prometheus
        .wait_for("count(envoy_server_live == 1) == 2", PATIENCE)
        .await?;
    let loaded = prometheus.query("envoy_wasm_tokenward_vm_reload == 0").await?;
    assert_eq!(loaded.len(), 1, "{loaded:?}");
    assert_eq!(loaded[0]["metric"]["pod"], "envoy-1");
    let seen = prometheus.query(&alert("TokenwardFilterMissing")?).await?;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0]["metric"]["gateway"], GATEWAY);
    assert_eq!(seen[0]["value"][1], "1", "one of two");
    let shown = prometheus.query(&without_the_filter()?).await?;
    assert_eq!(shown[0]["value"][1], "1", "{shown:?}");
    Ok(())
}
