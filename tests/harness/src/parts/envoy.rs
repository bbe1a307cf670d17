//! A real Envoy in front of MCP servers, with the filter or without it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::envoy_start::wait_until_started;
use super::envoy_template::{render, render_listener, render_with_listener_file};
use super::prometheus::settled;
use super::{ControlTls, LogBook, Metrics, Process, ProcessSpec, SteppingClock, tools, write_file};
use crate::issuer::jose::http_client;

const LISTENER_FILE: &str = "listener.yaml";

/// What Envoy shall do.
#[derive(Debug, Clone)]
pub struct EnvoyConfig {
    /// `--concurrency`.
    pub workers: usize,
    /// Port of the listener, 0 for a free one.
    pub listener_port: u16,
    /// The listener is read from a file, so that [`Envoy::replace_listener`] can replace it while Envoy runs.
    pub listener_from_file: bool,
    /// Requests may have 96 KB of headers and 200 of them, instead of Envoy's usual 60 KB and 100.
    pub large_headers: bool,
    /// The filter; without it requests go straight to the servers.
    pub filter: Option<EnvoyFilter>,
    /// The filter's module is fetched from control and must have this SHA-256, instead of read from a file.
    pub module_from_control: Option<String>,
    /// Where the cluster `tokenward_control` leads; `None` makes a cluster without hosts.
    pub control: Option<SocketAddr>,
    /// TLS in that cluster.
    pub control_tls: Option<ControlTls>,
    /// Further replicas of control in that cluster.
    pub control_replicas: Vec<SocketAddr>,
    /// The clock that Envoy reads; `None` for the machine's.
    pub clock: Option<SteppingClock>,
    /// The routes, first match first.
    pub routes: Vec<EnvoyRoute>,
    /// The retry policy of all routes.
    pub retries: Option<Value>,
    /// The module is an upstream filter of the servers' clusters too (`envoy/local/each_try.yaml`), with this margin.
    pub checks_each_try: Option<String>,
}

impl Default for EnvoyConfig {
    fn default() -> Self {
        Self {
            workers: 1,
            listener_port: 0,
            listener_from_file: false,
            large_headers: false,
            filter: None,
            module_from_control: None,
            control: None,
            control_tls: None,
            control_replicas: Vec::new(),
            clock: None,
            routes: Vec::new(),
            retries: None,
            checks_each_try: None,
        }
    }
}

/// The wasm filter.
#[derive(Debug, Clone)]
pub struct EnvoyFilter {
    /// The module, see [`tools::filter_module`].
    pub module: PathBuf,
    /// The filter's own configuration, handed to it as a JSON string.
    pub configuration: Value,
    /// Put into Envoy's environment as `TOKENWARD_FILTER_CREDENTIAL`.
    pub credential: Option<String>,
}

/// One route to one MCP server.
#[derive(Debug, Clone)]
pub struct EnvoyRoute {
    /// Name of the route and of its cluster.
    pub name: String,
    /// Whole path segments, `/kubernetes`; `/` takes everything.
    pub path_prefix: String,
    /// The MCP server.
    pub server: SocketAddr,
    /// Further replicas of it.
    pub server_replicas: Vec<SocketAddr>,
    /// Only this path is matched, none below it.
    pub is_exact: bool,
    /// The server sees paths without the prefix.
    pub strips_prefix: bool,
    /// Annotations as Envoy Gateway puts them into the route's metadata: names without `gateway.envoyproxy.io/`.
    pub annotations: BTreeMap<String, String>,
}

impl EnvoyRoute {
    /// A route without annotations; its name is the prefix without slashes.
    pub fn new(path_prefix: &str, server: SocketAddr) -> Self {
        let name = path_prefix.trim_matches('/').replace('/', "-");
        let name = if name.is_empty() { "all".to_owned() } else { name };
        Self {
            name,
            path_prefix: path_prefix.to_owned(),
            server,
            server_replicas: Vec::new(),
            is_exact: false,
            strips_prefix: false,
            annotations: BTreeMap::new(),
        }
    }

    /// Leads to another server, which sees paths without the prefix.
    pub fn stripped_to(self, server: SocketAddr) -> Self {
        Self {
            server,
            strips_prefix: true,
            ..self
        }
    }

    /// Matches only its path, none below it.
    pub fn exactly(self) -> Self {
        Self {
            is_exact: true,
            ..self
        }
    }

    /// With one more annotation.
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn cluster(&self) -> String {
        format!("mcp_{}", self.name)
    }

    pub(super) fn to_json(&self) -> Value {
        let matching = if self.is_exact {
            json!({"path": self.path_prefix})
        } else if self.path_prefix == "/" {
            json!({"prefix": "/"})
        } else {
            json!({"path_separated_prefix": self.path_prefix.trim_end_matches('/')})
        };
        let resource = json!({
            "kind": "HTTPRoute", "name": self.name, "namespace": "default", "annotations": self.annotations,
        });
        let mut route = json!({"cluster": self.cluster(), "timeout": "0s"});
        if self.strips_prefix {
            let prefix = format!("^{}", self.path_prefix.trim_end_matches('/'));
            route["regex_rewrite"] = json!({"pattern": {"regex": prefix}, "substitution": ""});
        }
        json!({
            "name": self.name,
            "match": matching,
            "route": route,
            "metadata": {"filter_metadata": {"envoy-gateway": {"resources": [resource]}}},
        })
    }
}

/// One line of Envoy's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvoyLine {
    /// `debug`, `info`, `warning`, `error`, `critical`.
    pub level: String,
    /// `wasm`, `config`, …
    pub logger: String,
    /// The text without Envoy's prefixes.
    pub message: String,
}

/// A running Envoy. It ends with this guard.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    listener: SocketAddr,
    config: EnvoyConfig,
    folder: TempDir,
}

impl Envoy {
    /// Writes the configuration, starts Envoy and waits until it takes requests.
    ///
    /// # Errors
    /// When there is no Envoy on this machine, or it rejects the configuration or the filter.
    pub async fn start(config: &EnvoyConfig) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-envoy-config-")?;
        let bootstrap = match config.listener_from_file {
            true => {
                let file = write_file(&folder, LISTENER_FILE, render_listener(config)?)?;
                render_with_listener_file(config, &file)?
            }
            false => render(config)?,
        };
        let bootstrap = write_file(&folder, "envoy.yaml", bootstrap)?;
        let address_file = folder.path().join("admin-address");
        let arguments = [
            "-c".into(),
            bootstrap.into_os_string(),
            "--concurrency".into(),
            config.workers.to_string().into(),
            "--admin-address-path".into(),
            address_file.clone().into_os_string(),
            "--disable-hot-restart".into(),
            "-l".into(),
            "warning".into(),
            "--component-log-level".into(),
            "wasm:debug".into(),
        ];
        let mut spec = ProcessSpec::new::<std::ffi::OsString>("envoy", tools::envoy()?, arguments);
        let credential = config
            .filter
            .as_ref()
            .and_then(|filter| filter.credential.clone());
        spec.environment
            .extend(credential.map(|value| ("TOKENWARD_FILTER_CREDENTIAL".to_owned(), value)));
        let clock = config.clock.iter().flat_map(SteppingClock::environment);
        spec.environment.extend(clock);
        let mut process = Process::start(&spec)?;
        let (admin, listener) = wait_until_started(&mut process, config, &address_file).await?;
        Ok(Self {
            process,
            admin,
            listener,
            config: config.clone(),
            folder,
        })
    }

    /// What it was started with.
    pub fn config(&self) -> &EnvoyConfig {
        &self.config
    }

    /// Puts another listener (routes and filter) in place of the running one, at once and whole, as a control plane
    /// does; Envoy takes it a moment later. Clusters and the rest of the bootstrap stay.
    ///
    /// # Errors
    /// When it was not started with [`EnvoyConfig::listener_from_file`].
    pub fn replace_listener(&self, config: &EnvoyConfig) -> anyhow::Result<()> {
        ensure!(
            self.config.listener_from_file,
            "this listener is part of the bootstrap"
        );
        let unfinished = write_file(&self.folder, "listener.new", render_listener(config)?)?;
        // Envoy looks for a rename into the folder, never for a write.
        Ok(std::fs::rename(
            unfinished,
            self.folder.path().join(LISTENER_FILE),
        )?)
    }

    /// `http://127.0.0.1:PORT` of the listener.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener)
    }

    /// Where the listener is.
    pub fn address(&self) -> SocketAddr {
        self.listener
    }

    /// Envoy's admin interface.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Its metrics, with the labels of the bootstrap's `stats_tags`, once the filter has reported all that it counted.
    pub async fn stats(&self) -> anyhow::Result<Metrics> {
        settled(|| async {
            let url = format!("{}/stats/prometheus", self.admin_url());
            let answer = http_client().get(url).send().await?.error_for_status()?;
            Ok(Metrics::read(&answer.text().await?))
        })
        .await
    }

    /// Sets the level of the logger `wasm`, as `POST /logging?wasm=debug`.
    pub async fn set_wasm_log_level(&self, level: &str) -> anyhow::Result<()> {
        let url = format!("{}/logging?wasm={level}", self.admin_url());
        http_client().post(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Its log as it was printed.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }

    /// Its log, taken apart.
    pub fn lines(&self) -> Vec<EnvoyLine> {
        self.log()
            .lines()
            .iter()
            .filter_map(|line| EnvoyLine::read(line))
            .collect()
    }

    /// What the filter logged.
    pub fn wasm_lines(&self) -> Vec<EnvoyLine> {
        self.log()
            .lines()
            .iter()
            .filter_map(|line| EnvoyLine::read_wasm(line))
            .collect()
    }

    /// The first line of the filter that satisfies `predicate`, also one from before the call.
    pub async fn wait_for_wasm_line(
        &self,
        predicate: impl Fn(&EnvoyLine) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<EnvoyLine> {
        let chosen = |line: &str| EnvoyLine::read_wasm(line).is_some_and(|line| predicate(&line));
        let line = self.log().wait_for_line(chosen, deadline).await?;
        EnvoyLine::read_wasm(&line).context("the line was just read")
    }

    /// Memory that it holds, KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        self.process.resident_kib()
    }

    /// The process, to pause, resume or kill it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it in order (SIGTERM).
    pub async fn terminate(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        self.process.terminate(deadline).await
    }
}

impl EnvoyLine {
    /// Reads `[time][thread][level][logger] [source:line] message`; `None` for a line that is not of this form.
    pub fn read(line: &str) -> Option<Self> {
        let (prefixes, rest) = line.strip_prefix('[')?.split_once("] ")?;
        let mut prefixes = prefixes.split("][");
        let (_time, _thread) = (prefixes.next()?, prefixes.next()?);
        let (level, logger) = (prefixes.next()?, prefixes.next()?);
        let message = match rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((_source, message)) => message,
            None => rest,
        };
        Some(Self {
            level: level.to_owned(),
            logger: logger.to_owned(),
            message: message.to_owned(),
        })
    }

    /// The value of a field `name=…` of a line of the filter.
    pub fn field(&self, name: &str) -> Option<&str> {
        let (fields, _sentence) = self.message.split_once(": ").unwrap_or((&self.message, ""));
        fields
            .split_whitespace()
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    }

    /// [`EnvoyLine::read`] for lines of a wasm module, without `wasm log <names>: `.
    pub fn read_wasm(line: &str) -> Option<Self> {
        let line = Self::read(line)?;
        let (_names, message) = line.message.strip_prefix("wasm log")?.split_once(": ")?;
        (line.logger == "wasm").then(|| Self {
            message: message.to_owned(),
            ..line.clone()
        })
    }
}
