//! MCP servers of other people, as they are.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::process::LOOK_AGAIN;
use super::{LogBook, Process, ProcessSpec, ports, tools, write_file};
use crate::issuer::Issuer;

/// Generous: Python and Node load for seconds on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A running MCP server on 127.0.0.1. It ends with this guard.
#[derive(Debug)]
pub struct McpProgram {
    address: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl McpProgram {
    /// `@modelcontextprotocol/server-everything`: sessions, listeners, long calls; no protection of its own.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub async fn everything() -> anyhow::Result<Self> {
        let (modules, node) = tools::mcp_node().context(tools::MCP_IS_MISSING)?;
        let port = ports::free_port()?;
        let server = modules.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
        let arguments = [
            "--require".into(),
            script("loopback.cjs").into_os_string(),
            server.into_os_string(),
            "streamableHttp".into(),
        ];
        let mut spec = ProcessSpec::new::<std::ffi::OsString>("everything", node, arguments);
        spec.environment.push(("PORT".to_owned(), port.to_string()));
        Self::start(spec, port, TempDir::with_prefix("tokenward-everything-")?).await
    }

    /// A server of the official Python SDK: the stateless style of 2026-07-28, and the older ones.
    ///
    /// # Errors
    /// When the SDK is not installed, or it does not start.
    pub async fn modern() -> anyhow::Result<Self> {
        let (packages, python) = tools::mcp_python().context(tools::MCP_IS_MISSING)?;
        let port = ports::free_port()?;
        let arguments = [
            script("modern_server.py").into_os_string(),
            port.to_string().into(),
        ];
        let mut spec = ProcessSpec::new("modern-server", python, arguments);
        let packages = packages.display().to_string();
        spec.environment.push(("PYTHONPATH".to_owned(), packages));
        Self::start(spec, port, TempDir::with_prefix("tokenward-modern-server-")?).await
    }

    /// `kubernetes-mcp-server`, which verifies the issuer's tokens by itself; `None` where there is none for this machine.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn kubernetes(issuer: &impl Issuer, audience: &str) -> anyhow::Result<Option<Self>> {
        let (modules, _) = tools::mcp_node().context(tools::MCP_IS_MISSING)?;
        let name = "kubernetes-mcp-server-linux-amd64";
        let program = modules.join("node_modules").join(name).join("bin").join(name);
        if !program.is_file() {
            return Ok(None);
        }
        let (port, folder) = (
            ports::free_port()?,
            TempDir::with_prefix("tokenward-kubernetes-mcp-")?,
        );
        // No cluster is there: what it serves of its own configuration is enough.
        let cluster = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "none",
            "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "nobody", "user": {"token": "none"}}],
            "contexts": [{"name": "none", "context": {"cluster": "none", "user": "nobody"}}],
        });
        let kubeconfig = write_file(&folder, "kubeconfig", cluster.to_string())?;
        let settings = [
            ("port", json!(port.to_string())),
            ("bind_address", json!("127.0.0.1")),
            ("kubeconfig", json!(kubeconfig)),
            ("require_oauth", json!(true)),
            ("oauth_audience", json!(audience)),
            ("authorization_url", json!(issuer.issuer())),
        ];
        let toml: String = settings
            .iter()
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect();
        let arguments = [
            "--config".into(),
            write_file(&folder, "config.toml", toml)?.into_os_string(),
        ];
        let spec = ProcessSpec::new::<std::ffi::OsString>("kubernetes-mcp", program, arguments);
        Self::start(spec, port, folder).await.map(Some)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has printed.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }

    async fn start(spec: ProcessSpec, port: u16, folder: TempDir) -> anyhow::Result<Self> {
        let mut process = Process::start(&spec)?;
        let (address, limit) = (
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            Instant::now() + STARTS_WITHIN,
        );
        while TcpStream::connect(address).await.is_err() {
            process.ensure_running()?;
            ensure!(
                Instant::now() < limit,
                "{} does not listen within {STARTS_WITHIN:?}:\n{}",
                spec.name,
                process.log().tail(20)
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Self {
            address,
            process,
            _folder: folder,
        })
    }
}

/// A file of tests/clients.
pub(super) fn script(name: &str) -> PathBuf {
    tools::workspace().join("tests/clients").join(name)
}
