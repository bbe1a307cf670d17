//! The path as people install it: the filter chains that a real Envoy Gateway makes of what the chart renders by default.
//!
//! Envoy Gateway runs with its own Envoy until that has taken the resources, and what Envoy then shows as its
//! configuration becomes listeners of the measured Envoy. So the chain is Envoy Gateway's own output of this run, and stands
//! beside all others in one process. Changed are the address, where a module is read from (a file, of the same digest),
//! where access logs are written to (`/dev/null` in place of `/dev/stdout`: they are made all the same), and that
//! routes and endpoints stand in the configuration instead of coming by xDS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::gateway::{CREDENTIAL, More};
use super::lanes::{HOST, INSTALLED, INSTALLED_BASE, INSTALLED_FLOOR};
use super::tokens::{CLIENT, FLOOR_PATH, SERVER, Tokens};
use tokenward_harness::parts::{
    Chart, EnvoyGateway, EnvoyGatewayConfig, GatewayResources, Rendered, ports, tools,
};

#[cfg(test)]
mod tests;

const TAKEN_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The Gateway's listener, as Envoy Gateway names it.
const LISTENER: &str = "mcp/mcp/http";
const EXTENSION: &str = "EnvoyExtensionPolicy";
/// The cluster that Envoy Gateway makes for its own server of modules, which are files here.
const MODULE_SERVER: &str = "wasm_cluster";

/// A wasm module.
#[derive(Debug, Clone)]
struct Module {
    file: PathBuf,
    sha256: String,
}

/// Listeners `installed`, `installed_floor` and `installed_base`, with their clusters; `None` where Envoy Gateway or Helm is
/// not built.
///
/// # Errors
/// When Helm or Envoy Gateway refuses what it is given.
pub(super) async fn chains(
    tokens: &Tokens,
    upstream: SocketAddr,
    control: SocketAddr,
) -> anyhow::Result<Option<More>> {
    let (Some(chart), true) = (Chart::find()?, EnvoyGateway::is_there()?) else {
        return Ok(None);
    };
    let module = Module::read(tools::filter_module()?)?;
    let floor = Module::read(tools::baseline_module()?)?;
    let values = values(tokens, &module.sha256, control);
    let port = ports::free_port()?;
    let resources = |rendered: &[Rendered], policy: Option<String>| {
        let mut resources = GatewayResources::at(port);
        resources.add_backend(SERVER, upstream);
        resources.add_rendered(rendered, control);
        resources.add_annotations(&[SERVER.to_owned()]);
        policy.into_iter().for_each(|policy| resources.add(policy));
        resources.text()
    };
    let rendered = chart.render(&values)?;
    ensure!(
        rendered.iter().any(states_match),
        "control's configuration in the chart has no match of the server, which control's stand-in gives to the filter"
    );
    let gateway = EnvoyGateway::start(&EnvoyGatewayConfig {
        resources: resources(&rendered, None),
        port,
        credential: CREDENTIAL.to_owned(),
    })
    .await?;
    let mut chains = taken(&gateway, INSTALLED, Some(&module)).await?;
    let without_filter = without_extension(rendered);
    gateway.replace_resources(&resources(&without_filter, Some(floor_policy(&floor, control))))?;
    let other = taken(&gateway, INSTALLED_FLOOR, Some(&floor)).await?;
    chains.add(other)?;
    // Its patch finds the filter by name, and there is none.
    let mut values = values;
    values["gateway"]["failReload"] = json!(false);
    let without_filter = without_extension(chart.render(&values)?);
    gateway.replace_resources(&resources(&without_filter, None))?;
    let other = taken(&gateway, INSTALLED_BASE, None).await?;
    chains.add(other)?;
    Ok(Some(chains))
}

impl More {
    /// One more listener; it has the same clusters, or what differs would be more than the filter.
    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        ensure!(
            self.clusters == other.clusters,
            "Envoy Gateway made other clusters without the filter"
        );
        self.listeners.extend(other.listeners);
        Ok(())
    }
}

impl Module {
    fn read(file: PathBuf) -> anyhow::Result<Self> {
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let digest = sha2::Sha256::digest(bytes);
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { file, sha256 })
    }
}

/// What an installation must name: an issuer, a server with its route, and where module and control are. The rest is as the
/// chart has it.
fn values(tokens: &Tokens, sha256: &str, control: SocketAddr) -> Value {
    let backend = json!({"group": "gateway.envoyproxy.io", "kind": "Backend", "name": SERVER});
    json!({
        "issuers": [{
            "issuer": tokens.issuer, "clientId": CLIENT, "clientSecretRef": {"name": "home", "key": "secret"},
        }],
        "servers": [{
            "name": SERVER, "auth": {"type": "oauth", "forwardToken": true, "requiredAudiences": [CLIENT]},
            "route": {"hostnames": [HOST], "pathPrefix": format!("/{SERVER}"), "backendRefs": [backend]},
        }],
        "service": {"port": control.port()},
        "gateway": {
            "filter": {"sha256": sha256},
            "control": {"host": control.ip().to_string(), "port": control.port()},
        },
    })
}

/// Whether control's configuration has the match that the chart takes from the server's route.
fn states_match(resource: &Rendered) -> bool {
    let of_route = [format!("host: {HOST}"), format!("pathPrefix: /{SERVER}")];
    resource.kind == "ConfigMap" && of_route.iter().all(|part| resource.yaml.contains(part))
}

fn without_extension(rendered: Vec<Rendered>) -> Vec<Rendered> {
    let others = rendered.into_iter().filter(|resource| resource.kind != EXTENSION);
    others.collect()
}

/// The floor in the filter's place, under its names, so that the chart's patches apply to it too.
fn floor_policy(floor: &Module, control: SocketAddr) -> String {
    let code = json!({
        "type": "HTTP", "http": {"url": format!("http://{control}{FLOOR_PATH}"), "sha256": floor.sha256},
    });
    let wasm =
        json!({"name": "tokenward", "rootID": "tokenward", "failOpen": false, "code": code, "config": {}});
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": EXTENSION,
        "metadata": {"name": "tokenward", "namespace": "mcp"},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "mcp"}],
            "wasm": [wasm],
        },
    })
    .to_string()
}

/// The chain, once Envoy has taken one with this module.
async fn taken(gateway: &EnvoyGateway, name: &str, module: Option<&Module>) -> anyhow::Result<More> {
    let limit = Instant::now() + TAKEN_WITHIN;
    loop {
        let found = chain(&gateway.whole_config().await?, name, module);
        if found.is_ok() || Instant::now() > limit {
            return found.with_context(|| format!("Envoy Gateway said:\n{}", gateway.log().tail(20)));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The Gateway's listener and its clusters out of Envoy's configuration.
///
/// # Errors
/// When the listener is not there, or has other wasm modules than this one.
fn chain(dump: &Value, name: &str, module: Option<&Module>) -> anyhow::Result<More> {
    let listeners = section(dump, "ListenersConfigDump", "dynamic_listeners");
    let listener = listeners.iter().find(|listener| listener["name"] == LISTENER);
    let listener = listener.context("Envoy has no listener of the Gateway")?;
    let mut listener = without_type(&listener["active_state"]["listener"]);
    ensure!(listener.is_object(), "the Gateway's listener is not in service");
    listener["name"] = json!(name);
    listener["address"] = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let routes: Vec<Value> = section(dump, "RoutesConfigDump", "dynamic_route_configs")
        .iter()
        .map(|routes| without_type(&routes["route_config"]))
        .collect();
    let mut modules = Vec::new();
    put_here(
        &mut listener,
        &routes,
        module.map(|module| &*module.file),
        &mut modules,
    )?;
    let wanted: Vec<&str> = module.iter().map(|module| &*module.sha256).collect();
    ensure!(
        modules == wanted,
        "the Gateway's listener has {modules:?} of {wanted:?}"
    );
    let endpoints = section(dump, "EndpointsConfigDump", "dynamic_endpoint_configs");
    let clusters = section(dump, "ClustersConfigDump", "dynamic_active_clusters");
    let clusters = clusters.iter().map(|cluster| &cluster["cluster"]);
    let clusters = clusters.filter(|cluster| cluster["name"] != MODULE_SERVER);
    Ok(More {
        listeners: vec![listener],
        clusters: clusters
            .map(|cluster| with_endpoints(cluster, &endpoints))
            .collect::<anyhow::Result<_>>()?,
        secrets: Vec::new(),
    })
}

/// A list of one kind of the configuration's parts; empty where there is none.
fn section(dump: &Value, kind: &str, list: &str) -> Vec<Value> {
    let configs = dump["configs"].as_array().into_iter().flatten();
    let of_kind = configs.filter(|config| config["@type"].as_str().is_some_and(|name| name.ends_with(kind)));
    of_kind
        .flat_map(|config| config[list].as_array().into_iter().flatten().cloned())
        .collect()
}

/// Replaces what is only where Envoy Gateway's Envoy runs, and notes the digests of the modules.
fn put_here(
    part: &mut Value,
    routes: &[Value],
    module: Option<&Path>,
    modules: &mut Vec<String>,
) -> anyhow::Result<()> {
    match part {
        Value::Object(fields) => {
            if let Some(rds) = fields.remove("rds") {
                let found = routes
                    .iter()
                    .find(|routes| routes["name"] == rds["route_config_name"]);
                let found = found.context("Envoy has no routes of the Gateway yet")?;
                fields.insert("route_config".to_owned(), found.clone());
            }
            if let Some(remote) = fields.remove("remote") {
                let sha256 = remote["sha256"].as_str().context("a module without a digest")?;
                modules.push(sha256.to_owned());
                fields.insert("local".to_owned(), json!({"filename": module}));
            }
            if fields.get("path").is_some_and(|path| path == "/dev/stdout") {
                fields.insert("path".to_owned(), json!("/dev/null"));
            }
            for field in fields.values_mut() {
                put_here(field, routes, module, modules)?;
            }
        }
        Value::Array(items) => {
            for item in items {
                put_here(item, routes, module, modules)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A cluster with its endpoints in place of the reference to them.
fn with_endpoints(cluster: &Value, endpoints: &[Value]) -> anyhow::Result<Value> {
    let mut cluster = without_type(cluster);
    if cluster["type"] != "EDS" {
        return Ok(cluster);
    }
    let name = cluster["eds_cluster_config"]["service_name"].clone();
    let mut endpoints = endpoints.iter().map(|endpoints| &endpoints["endpoint_config"]);
    let Some(found) = endpoints.find(|endpoints| endpoints["cluster_name"] == name) else {
        bail!("Envoy has no endpoints of {name} yet");
    };
    let assignment = without_type(found);
    if let Some(fields) = cluster.as_object_mut() {
        fields.remove("eds_cluster_config");
        fields.insert("type".to_owned(), json!("STATIC"));
        fields.insert("load_assignment".to_owned(), assignment);
    }
    Ok(cluster)
}

/// Each entry of a dump states its type; in a configuration its place does.
fn without_type(part: &Value) -> Value {
    let mut part = part.clone();
    if let Some(fields) = part.as_object_mut() {
        fields.remove("@type");
    }
    part
}
