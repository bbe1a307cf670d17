//! A real Envoy Gateway in its standalone mode: resources from files, Envoy as a child on this machine.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::LOOK_AGAIN;
use super::prometheus::settled;
use super::{EnvoyLine, LogBook, Metrics, Process, ProcessSpec, tools, write_file};
use crate::issuer::jose::http_client;

/// Envoy Gateway, its Envoy, the module fetched twice and compiled for every worker, on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(90);
const LOGGED_WITHIN: Duration = Duration::from_secs(30);
/// The Envoy that Envoy Gateway 1.9.0 runs.
const ENVOY_VERSION: &str = "1.39.0";
/// Where Envoy Gateway reads resources.
const RESOURCES: &str = "resources";

/// What Envoy Gateway shall run.
#[derive(Debug, Clone)]
pub struct EnvoyGatewayConfig {
    /// YAML documents: GatewayClass, Gateway, routes, policies.
    pub resources: String,
    /// The Gateway's listener.
    pub port: u16,
    /// In the environment of Envoy, as `TOKENWARD_FILTER_CREDENTIAL`.
    pub credential: String,
}

/// A running Envoy Gateway with its Envoy. It ends, Envoy too, with this guard.
#[derive(Debug)]
pub struct EnvoyGateway {
    process: Process,
    admin: SocketAddr,
    port: u16,
    folder: TempDir,
    // Declared last: the fixed ports are free again when the process is gone.
    _turn: Turn,
}

impl EnvoyGateway {
    /// Why stories on it are left out where it is not built.
    pub const IS_MISSING: &str = "target/tools lacks Envoy Gateway, its Envoy, Helm or the validator: run `cargo xtask setup` with Go ≥ 1.26 on PATH";

    /// Whether its programs are on this machine.
    ///
    /// # Errors
    /// When one of their variables names what is not there.
    pub fn is_there() -> anyhow::Result<bool> {
        let programs = [
            tools::envoy_gateway()?,
            tools::envoy_of_gateway()?,
            tools::oci_registry()?,
        ];
        Ok(programs.iter().all(Option::is_some))
    }

    /// Starts it and waits until Envoy takes requests.
    ///
    /// # Errors
    /// When it is not built here, or does not become ready.
    pub async fn start(config: &EnvoyGatewayConfig) -> anyhow::Result<Self> {
        let program = tools::envoy_gateway()?.context(Self::IS_MISSING)?;
        let turn = Turn::take().await?;
        let folder = TempDir::with_prefix("tokenward-envoy-gateway-")?;
        prepare(&folder, &program)?;
        let resources = format!("{}\n---\n{}", config.resources, reach_module_server(&folder)?);
        write_file(&folder, format!("{RESOURCES}/all.yaml"), &resources)?;
        let file = write_file(&folder, "envoy-gateway.yaml", configuration(&folder).to_string())?;
        let arguments = ["server".into(), "--config-path".into(), file.into_os_string()];
        let mut spec = ProcessSpec::new::<std::ffi::OsString>("envoy-gateway", program, arguments);
        spec.environment = vec![
            ("HOME".to_owned(), folder.path().display().to_string()),
            (
                "TOKENWARD_FILTER_CREDENTIAL".to_owned(),
                config.credential.clone(),
            ),
        ];
        let mut process = Process::start(&spec)?;
        let limit = Instant::now() + STARTS_WITHIN;
        let admin = loop {
            if let Some(admin) = admin_address(&folder)
                && listens(admin, config.port).await
            {
                break admin;
            }
            process.ensure_running()?;
            if Instant::now() > limit {
                bail!(
                    "Envoy Gateway is not ready within {STARTS_WITHIN:?}:\n{}",
                    process.log().tail(60)
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        Ok(Self {
            process,
            admin,
            port: config.port,
            folder,
            _turn: turn,
        })
    }

    /// Puts other resources in place of the running ones.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn replace_resources(&self, resources: &str) -> anyhow::Result<()> {
        let resources = format!("{resources}\n---\n{}", reach_module_server(&self.folder)?);
        // Written in place: Envoy Gateway reads every file of the folder at any change, and an unfinished one as well.
        let unfinished = write_file(&self.folder, "all.yaml.new", resources)?;
        std::fs::rename(unfinished, self.folder.path().join(RESOURCES).join("all.yaml"))?;
        Ok(())
    }

    /// `http://127.0.0.1:PORT` of the Gateway.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What Envoy Gateway and Envoy have logged.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }

    /// What the filter logged.
    pub fn wasm_lines(&self) -> Vec<EnvoyLine> {
        self.log()
            .lines()
            .iter()
            .filter_map(|line| EnvoyLine::read_wasm(line))
            .collect()
    }

    /// What the filter has warned of, once it has at all: Envoy's lines may come through Envoy Gateway, after the answers
    /// that they are about.
    ///
    /// # Errors
    /// When no warning comes.
    pub async fn warnings(&self) -> anyhow::Result<Vec<EnvoyLine>> {
        let is_warning = |line: &EnvoyLine| line.level == "warning";
        let log = self.log();
        log.wait_for_line(
            |line| EnvoyLine::read_wasm(line).is_some_and(|line| is_warning(&line)),
            LOGGED_WITHIN,
        )
        .await?;
        Ok(self.wasm_lines().into_iter().filter(is_warning).collect())
    }

    /// Envoy's metrics, with the labels of the EnvoyProxy's `stats_tags`, once the filter has reported all that it
    /// counted.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn stats(&self) -> anyhow::Result<Metrics> {
        settled(|| async { Ok(Metrics::read(&self.admin("/stats/prometheus").await?)) }).await
    }

    /// A part of Envoy's configuration, `dynamic_listeners`, `dynamic_route_configs`, `dynamic_active_clusters`.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn config_dump(&self, resource: &str) -> anyhow::Result<Value> {
        let text = self.admin(&format!("/config_dump?resource={resource}")).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The whole configuration of Envoy, with the endpoints of its clusters.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn whole_config(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(
            &self.admin("/config_dump?include_eds").await?,
        )?)
    }

    /// The admin interface of its Envoy.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Waits until no listener in service names this root id of a wasm filter.
    ///
    /// # Errors
    /// When it is still there after a while, or Envoy does not answer.
    pub async fn wait_for_listeners_without(&self, root_id: &str) -> anyhow::Result<()> {
        let limit = Instant::now() + STARTS_WITHIN;
        let name = format!("\"root_id\":\"{root_id}\"");
        loop {
            let dump = self.config_dump("dynamic_listeners").await?;
            let listeners = dump["configs"].as_array().into_iter().flatten();
            // One that was replaced is listed until its connections have ended.
            let mut active = listeners.map(|listener| listener["active_state"].to_string());
            if !active.any(|listener| listener.contains(&name)) {
                return Ok(());
            }
            ensure!(Instant::now() < limit, "listeners still have {root_id}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn admin(&self, path: &str) -> anyhow::Result<String> {
        let answer = http_client()
            .get(format!("http://{}{path}", self.admin))
            .send()
            .await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}

/// Its configuration, certificates and Envoy, in a folder.
fn prepare(folder: &TempDir, program: &Path) -> anyhow::Result<()> {
    let envoy = tools::envoy_of_gateway()?.context(EnvoyGateway::IS_MISSING)?;
    let place = folder
        .path()
        .join(format!("data/envoy-versions/{ENVOY_VERSION}/bin"));
    for path in [
        place.clone(),
        folder.path().join(RESOURCES),
        folder.path().join("run"),
    ] {
        std::fs::create_dir_all(path)?;
    }
    // Found there, it is not downloaded.
    std::os::unix::fs::symlink(envoy, place.join("envoy"))?;
    let run = Command::new(program)
        .args(["certgen", "--local", "--config-home"])
        .arg(folder.path().join("config"))
        .env("HOME", folder.path())
        .output()?;
    ensure!(
        run.status.success(),
        "certgen: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    Ok(())
}

fn configuration(folder: &TempDir) -> Value {
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
        "provider": {"type": "Custom", "custom": {
            "resource": {"type": "File", "file": {"paths": [folder.path().join(RESOURCES)]}},
            "infrastructure": {"type": "Host", "host": {
                "configHome": folder.path().join("config"), "dataHome": folder.path().join("data"),
                "stateHome": folder.path().join("state"), "runtimeDir": folder.path().join("run"),
            }},
        }},
        "logging": {"level": {"default": "info"}},
        "extensionApis": {"enableBackend": true, "enableEnvoyPatchPolicy": true},
    })
}

/// Envoy Gateway configures Envoy to fetch modules from its Service in the cluster, with certificates at a pod's
/// paths. Neither is on this machine: this patch names the same server at 127.0.0.1, with the same certificates where
/// `certgen` put them.
fn reach_module_server(folder: &TempDir) -> anyhow::Result<String> {
    let certificates = folder.path().join("config/certs/envoy");
    let file = |name: &str| json!({"filename": certificates.join(name)});
    let tls = json!({
        "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": file("tls.crt"), "private_key": file("tls.key")}],
        "validation_context": {"trusted_ca": file("ca.crt")},
    });
    let patch = |mut operation: Value| {
        operation["op"] = json!("replace");
        json!({
            "type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "wasm_cluster", "operation": operation,
        })
    };
    let policy = json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyPatchPolicy",
        "metadata": {"name": "module-server-on-this-machine", "namespace": "mcp"},
        "spec": {
            "type": "JSONPatch",
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "mcp"},
            "jsonPatches": [
                patch(json!({"path": "/transport_socket/typed_config/common_tls_context", "value": tls})),
                patch(json!({
                    "jsonPath": "$..lb_endpoints[*].endpoint.address.socket_address.address", "value": "127.0.0.1",
                })),
            ],
        },
    });
    Ok(serde_json::to_string(&policy)?)
}

/// Envoy Gateway gives each Envoy a folder of its own, with the address of its admin interface.
fn admin_address(folder: &TempDir) -> Option<SocketAddr> {
    let runs = std::fs::read_dir(folder.path().join("run")).ok()?;
    let written = |run: PathBuf| std::fs::read_to_string(run.join("admin-address.txt")).ok();
    runs.filter_map(|run| written(run.ok()?.path()))
        .find_map(|address| address.trim().parse().ok())
}

/// Whether Envoy's listener is in service: it is warm only when the filter's module was fetched and compiled.
async fn listens(admin: SocketAddr, port: u16) -> bool {
    let url = format!("http://{admin}/listeners");
    let Ok(answer) = http_client().get(url).send().await else {
        return false;
    };
    let listeners = answer.text().await.unwrap_or_default();
    listeners.lines().any(|line| line.ends_with(&format!(":{port}")))
        && tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

/// Envoy Gateway's own ports are fixed (8081, 18000 to 18002, 19000 to 19003): one at a time on this machine.
#[derive(Debug)]
pub(super) struct Turn {
    _file: File,
}

impl Turn {
    pub(super) async fn take() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join("tokenward-envoy-gateway.turn");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let limit = Instant::now() + Duration::from_secs(600);
        while file.try_lock().is_err() {
            ensure!(
                Instant::now() < limit,
                "another Envoy Gateway test holds {} for ten minutes",
                path.display()
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Self { _file: file })
    }
}
