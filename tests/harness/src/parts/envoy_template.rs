//! Fills in `envoy/local/envoy.yaml`.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{EnvoyConfig, tools};

/// The cluster the filter calls.
pub(super) const CONTROL_CLUSTER: &str = "tokenward_control";

/// The bootstrap for a configuration.
///
/// # Errors
/// When the template cannot be read, or holds a placeholder without a value.
pub(super) fn render(config: &EnvoyConfig) -> anyhow::Result<String> {
    let path = tools::workspace().join("envoy/local/envoy.yaml");
    let template =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // Comments name the placeholders too.
    let lines = template
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"));
    let mut bootstrap: String = lines.collect();
    let mut control = cluster(
        CONTROL_CLUSTER,
        config.control.iter().chain(&config.control_replicas),
    );
    if let Some(tls) = &config.control_tls {
        control["transport_socket"] = tls.transport_socket();
    }
    let mut clusters = vec![control];
    for route in &config.routes {
        let mut cluster = cluster(
            &route.cluster(),
            std::iter::once(&route.server).chain(&route.server_replicas),
        );
        if let Some(margin) = &config.checks_each_try {
            cluster["typed_extension_protocol_options"] = each_try(config, margin)?;
        }
        clusters.push(cluster);
    }
    let mut routes: Vec<Value> = config.routes.iter().map(super::EnvoyRoute::to_json).collect();
    if let Some(policy) = &config.retries {
        routes
            .iter_mut()
            .for_each(|route| route["route"]["retry_policy"] = policy.clone());
    }
    let mut values = vec![
        ("LISTENER_PORT", json!(config.listener_port)),
        ("ROUTES", json!(routes)),
        ("CLUSTERS", json!(clusters)),
    ];
    match &config.filter {
        Some(filter) => {
            if let Some(sha256) = &config.module_from_control {
                bootstrap = with_remote_module(&bootstrap, sha256)?;
            }
            values.push(("FILTER_CONFIGURATION", json!(filter.configuration.to_string())));
            if config.module_from_control.is_none() {
                values.push(("FILTER_MODULE", json!(filter.module)));
            }
        }
        None => bootstrap = without_filter(&bootstrap)?,
    }
    for (name, value) in values {
        let placeholder = format!("${{{name}}}");
        ensure!(
            bootstrap.contains(&placeholder),
            "{} has no {placeholder}",
            path.display()
        );
        bootstrap = bootstrap.replace(&placeholder, &value.to_string());
    }
    if config.large_headers {
        let stat_prefix = "          stat_prefix: mcp\n";
        ensure!(
            bootstrap.contains(stat_prefix),
            "{} has no {stat_prefix}",
            path.display()
        );
        let limits = "          max_request_headers_kb: 96\n          \
                      common_http_protocol_options: {max_headers_count: 200}\n";
        bootstrap = bootstrap.replacen(stat_prefix, &format!("{stat_prefix}{limits}"), 1);
    }
    Ok(bootstrap)
}

/// The bootstrap for a configuration with its listener in `listener_file`.
///
/// # Errors
/// As [`render`].
pub(super) fn render_with_listener_file(
    config: &EnvoyConfig,
    listener_file: &Path,
) -> anyhow::Result<String> {
    let bootstrap = render(config)?;
    let (before, _, after) = around_listener(&bootstrap)?;
    let source =
        json!({"lds_config": {"resource_api_version": "V3", "path_config_source": {"path": listener_file}}});
    Ok(format!("dynamic_resources: {source}\n{before}{after}"))
}

/// The listener of a configuration, as a file that Envoy watches.
///
/// # Errors
/// As [`render`].
pub(super) fn render_listener(config: &EnvoyConfig) -> anyhow::Result<String> {
    let bootstrap = render(config)?;
    let (_, listener, _) = around_listener(&bootstrap)?;
    let typed = listener.replacen(
        "  - name: mcp\n",
        "  - \"@type\": type.googleapis.com/envoy.config.listener.v3.Listener\n    name: mcp\n",
        1,
    );
    ensure!(typed != listener, "the template's listener has another name");
    Ok(format!("resources:\n{typed}"))
}

/// The bootstrap before the listener, the listener, and what comes after it.
fn around_listener(bootstrap: &str) -> anyhow::Result<(&str, &str, &str)> {
    let (before, rest) = bootstrap
        .split_once("  listeners:\n")
        .context("no listeners in the template")?;
    let at = rest
        .find("\n  clusters:")
        .context("no clusters after the listeners")?
        + 1;
    let (listener, after) = rest.split_at(at);
    Ok((before, listener, after))
}

/// Envoy fetches the module from control, and takes it only if it has that digest.
fn with_remote_module(bootstrap: &str, sha256: &str) -> anyhow::Result<String> {
    let local = "code: {local: {filename: ${FILTER_MODULE}}}";
    ensure!(bootstrap.contains(local), "the template has no {local}");
    let address = json!({
        "uri": "http://tokenward-control/filter/tokenward.wasm", "cluster": CONTROL_CLUSTER, "timeout": "10s",
    });
    let remote = json!({"remote": {"http_uri": address, "sha256": sha256}});
    Ok(bootstrap.replacen(local, &format!("code: {remote}"), 1))
}

/// `envoy/local/each_try.yaml`, as a cluster's options.
fn each_try(config: &EnvoyConfig, margin: &str) -> anyhow::Result<Value> {
    let filter = config.filter.as_ref().context("no filter to check tries with")?;
    let text = std::fs::read_to_string(tools::workspace().join("envoy/local/each_try.yaml"))?;
    ensure!(
        text.contains("\"1s\""),
        "envoy/local/each_try.yaml has another margin"
    );
    let text = text
        .replace("${FILTER_MODULE}", &json!(filter.module).to_string())
        .replace("\"1s\"", &json!(margin).to_string());
    let options: Value = serde_saphyr::from_str(&text)?;
    Ok(json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}))
}

fn without_filter(bootstrap: &str) -> anyhow::Result<String> {
    let (before, rest) = bootstrap
        .split_once("# BEGIN filter")
        .context("no line `BEGIN filter`")?;
    let (_, after) = rest.split_once("# END filter").context("no line `END filter`")?;
    Ok(format!("{before}{after}"))
}

pub(super) fn cluster<'a>(name: &str, addresses: impl IntoIterator<Item = &'a SocketAddr>) -> Value {
    let endpoints: Vec<Value> = addresses
        .into_iter()
        .map(|address| {
            let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
            json!({"endpoint": {"address": {"socket_address": socket}}})
        })
        .collect();
    json!({
        "name": name,
        "type": "STATIC",
        // Envoy's usual one: on a busy machine a second is not enough for 200 connections at once.
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{"max_connections": u32::MAX, "max_requests": u32::MAX}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}
