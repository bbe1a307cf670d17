//! One Envoy with one worker and a listener for each filter chain.
//!
//! One process for all chains, so that they share the heap's layout, the caches and the kernel's mood; what differs
//! between two measurements is the chain alone. The chains that are not measured are idle.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::load::{Done, Load, Until};
use super::machine::{Pinning, resident_kib};
use tokenward_harness::issuer::http_client;
use tokenward_harness::parts::{Metrics, Process, ProcessSpec, cpu_ns, tools, write_file};

/// Generous: V8 compiles each module for main thread and worker.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long Envoy may still be busy after the last answer.
const SETTLE: Duration = Duration::from_millis(10);

/// What the filter shows control.
pub(super) const CREDENTIAL: &str = "bench";
/// More than there are streams.
const WITHOUT_LIMIT: u32 = 1_000_000;

/// What Envoy has besides its [`Chain`]s, in its JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct More {
    /// Listeners.
    pub(super) listeners: Vec<Value>,
    /// Clusters.
    pub(super) clusters: Vec<Value>,
    /// Secrets.
    pub(super) secrets: Vec<Value>,
}

/// A listener with its HTTP filters before the router.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    /// Name of the listener, and the prefix of its counters.
    pub(super) name: &'static str,
    /// Filters in Envoy's JSON.
    pub(super) filters: Vec<Value>,
    /// The server that the route's annotation names, as Envoy Gateway writes it; none without annotation.
    pub(super) annotated: Option<&'static str>,
    /// The route answers by itself, with this status and body.
    pub(super) answers: Option<(u16, &'static str)>,
}

impl Chain {
    /// A chain with a route without annotation.
    pub(super) fn new(name: &'static str, filters: Vec<Value>) -> Self {
        Self {
            name,
            filters,
            annotated: None,
            answers: None,
        }
    }

    fn listener(&self) -> Value {
        let annotations = self
            .annotated
            .map_or_else(|| json!({}), |server| json!({"tokenward-server": server}));
        let resource = json!({
            "kind": "HTTPRoute", "name": "mcp", "namespace": "default", "annotations": annotations,
        });
        let metadata = json!({"filter_metadata": {"envoy-gateway": {"resources": [resource]}}});
        let route = |number: usize, prefix: &str, cluster: &str| {
            let name = format!(
                "httproute/default/{}/rule/{number}/match/0/mcp_example_com",
                self.name
            );
            json!({
                "name": name,
                "match": {"prefix": prefix}, "metadata": metadata,
                "route": {"cluster": cluster, "timeout": "0s"},
            })
        };
        let routes = match self.answers {
            Some((status, body)) => json!([{
                "match": {"prefix": "/"}, "metadata": metadata,
                "direct_response": {"status": status, "body": {"inline_string": body}},
            }]),
            None => json!([route(0, "/forward/events", "events"), route(1, "/", "upstream")]),
        };
        let mut filters = self.filters.clone();
        filters.push(filter(
            "router",
            "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            &json!({}),
        ));
        let manager = typed(
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            &json!({
                "stat_prefix": self.name,
                "stream_idle_timeout": "0s",
                "route_config": {"name": self.name, "virtual_hosts": [{
                    "name": "mcp", "domains": ["*"], "routes": routes,
                }]},
                "http_filters": filters,
            }),
        );
        json!({
            "name": self.name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": [
                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
            ]}],
        })
    }
}

/// A named filter of a type.
pub(super) fn filter(name: &str, type_url: &str, config: &Value) -> Value {
    json!({"name": name, "typed_config": typed(type_url, config)})
}

fn typed(type_url: &str, config: &Value) -> Value {
    let mut typed = config.clone();
    typed["@type"] = json!(type_url);
    typed
}

/// A wasm filter. Filters with the same `vm_id`, module and configuration share a VM.
pub(super) fn wasm_filter(vm_id: &str, module: &std::path::Path, configuration: &Value) -> Value {
    let string = "type.googleapis.com/google.protobuf.StringValue";
    let config = json!({"config": {
        "name": vm_id, "root_id": vm_id, "failure_policy": "FAIL_RELOAD",
        "configuration": {"@type": string, "value": configuration.to_string()},
        "vm_config": {
            "vm_id": vm_id, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}},
        },
    }});
    filter(
        vm_id,
        "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        &config,
    )
}

/// The running Envoy. It ends with this guard.
#[derive(Debug)]
pub(super) struct Gateway {
    process: Process,
    admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
    _folder: TempDir,
}

impl Gateway {
    /// Starts it with the chains, and clusters by name.
    ///
    /// # Errors
    /// When Envoy is missing, or does not become ready.
    pub(super) async fn start(
        chains: &[Chain],
        clusters: &[(&str, SocketAddr)],
        more: &More,
        pinning: Option<Pinning>,
    ) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-bench-envoy-")?;
        let bootstrap = write_file(
            &folder,
            "envoy.json",
            bootstrap(chains, clusters, more).to_string(),
        )?;
        let address_file = folder.path().join("admin-address");
        let envoy = tools::envoy()?;
        let (program, mut arguments) = match pinning {
            Some(Pinning { envoy_core, .. }) => (
                "taskset".into(),
                vec!["-c".into(), envoy_core.to_string().into(), envoy.into_os_string()],
            ),
            None => (envoy, Vec::new()),
        };
        let own = ["--concurrency", "1", "--disable-hot-restart", "-l", "warning"];
        arguments.extend(own.map(Into::into));
        // What a refusal costs depends on whether its DEBUG line is written: production has `info`.
        arguments.extend(["--component-log-level", "wasm:info", "-c"].map(Into::into));
        arguments.push(bootstrap.into_os_string());
        arguments.push("--admin-address-path".into());
        arguments.push(address_file.clone().into_os_string());
        let mut spec = ProcessSpec::new("envoy", program, arguments);
        spec.environment = vec![("TOKENWARD_FILTER_CREDENTIAL".to_owned(), CREDENTIAL.to_owned())];
        let mut process = Process::start(&spec)?;
        let limit = Instant::now() + STARTS_WITHIN;
        let admin = loop {
            let written = std::fs::read_to_string(&address_file).unwrap_or_default();
            if let Ok(admin) = written.trim().parse::<SocketAddr>()
                && is_ready(admin).await
            {
                break admin;
            }
            process.ensure_running()?;
            if Instant::now() > limit {
                bail!("Envoy is not ready:\n{}", process.log().tail(30));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        Ok(Self {
            process,
            admin,
            listeners: listeners(admin).await?,
            _folder: folder,
        })
    }

    /// Where a chain listens.
    pub(super) fn address(&self, chain: &str) -> anyhow::Result<SocketAddr> {
        let address = self.listeners.get(chain).copied();
        address.with_context(|| format!("Envoy has no listener {chain}"))
    }

    /// All its counters.
    pub(super) async fn metrics(&self) -> anyhow::Result<Metrics> {
        let url = format!("http://{}/stats/prometheus", self.admin);
        let text = http_client().get(url).send().await?.error_for_status()?;
        Ok(Metrics::read(&text.text().await?))
    }

    /// CPU that it has used, nanoseconds, once it has nothing left to do: only then its clocks are exact.
    pub(super) async fn settled_cpu_ns(&self) -> anyhow::Result<u64> {
        tokio::time::sleep(SETTLE).await;
        cpu_ns(self.process.pid())
    }

    /// CPU per request of a closed loop, microseconds, and what the loop did.
    pub(super) async fn cost_us(&self, load: &mut Load, until: Until) -> anyhow::Result<(f64, Done)> {
        let before_ns = self.settled_cpu_ns().await?;
        let done = load.closed_loop(until).await?;
        let cpu_ns = self.settled_cpu_ns().await? - before_ns;
        Ok((cpu_ns as f64 / 1000.0 / done.requests as f64, done))
    }

    /// What it uses while nothing happens (ticks, timers): part of every measurement.
    pub(super) async fn idle_us_per_second(&self) -> anyhow::Result<f64> {
        let before_ns = self.settled_cpu_ns().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok((self.settled_cpu_ns().await? - before_ns) as f64 / 1000.0)
    }

    /// `VmRSS`, KiB.
    pub(super) fn resident_kib(&self) -> anyhow::Result<u64> {
        resident_kib(self.process.pid())
    }

    /// The end of its log, for error messages.
    pub(super) fn log_tail(&self) -> String {
        self.process.log().tail(20)
    }
}

fn bootstrap(chains: &[Chain], clusters: &[(&str, SocketAddr)], more: &More) -> Value {
    let clusters = clusters.iter().map(|(name, address)| cluster(name, *address));
    let clusters: Vec<Value> = clusters.chain(more.clusters.iter().cloned()).collect();
    let listeners = chains.iter().map(Chain::listener);
    let listeners: Vec<Value> = listeners.chain(more.listeners.iter().cloned()).collect();
    json!({
        "node": {"id": "tokenward-bench", "cluster": "tokenward-bench"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "stats_flush_on_admin": true,
        "stats_config": {"stats_tags": [
            {"tag_name": "server", "regex": "(\\.server=([^;]*);)"},
            {"tag_name": "outcome", "regex": "(;outcome=([^.;]*))"},
            {"tag_name": "mcp_method", "regex": "(;mcp_method=([^.]*))"},
            {"tag_name": "reason", "regex": "(;reason=([^.]*))"},
            {"tag_name": "status", "regex": "(;status=([^.]*))"},
        ]},
        "static_resources": {
            "listeners": listeners, "clusters": clusters, "secrets": more.secrets,
        },
    })
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
    // Streams that wait for their server are as many as a benchmark opens.
    let limits = json!({"max_connections": WITHOUT_LIMIT, "max_requests": WITHOUT_LIMIT});
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s", "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}

async fn is_ready(admin: SocketAddr) -> bool {
    let answer = http_client().get(format!("http://{admin}/ready")).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

async fn listeners(admin: SocketAddr) -> anyhow::Result<BTreeMap<String, SocketAddr>> {
    let url = format!("http://{admin}/listeners?format=json");
    let answer = http_client().get(url).send().await?.error_for_status()?;
    let document: Value = answer.json().await?;
    let mut listeners = BTreeMap::new();
    for status in document["listener_statuses"].as_array().into_iter().flatten() {
        let socket = &status["local_address"]["socket_address"];
        let (name, port) = (status["name"].as_str(), socket["port_value"].as_u64());
        if let (Some(name), Some(port)) = (name, port) {
            listeners.insert(name.to_owned(), format!("127.0.0.1:{port}").parse()?);
        }
    }
    Ok(listeners)
}
