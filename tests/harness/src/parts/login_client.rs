//! MCP clients of several makers with their own OAuth clients: each knows a server's URL only, finds the authorization server,
//! logs its user in and calls tools. The programs are in tests/clients.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::mcp_program::script;
use super::{Process, ProcessSpec, ports, tools};

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoginClientKind {
    /// The official TypeScript SDK, `@modelcontextprotocol/sdk`.
    TypeScript1,
    /// Its successor, `@modelcontextprotocol/client`.
    TypeScript2,
    /// The official Python SDK, `mcp`.
    Python,
    /// The official Rust SDK, `rmcp`.
    Rust,
    /// The CLI of `@modelcontextprotocol/inspector`: a process for each step.
    Inspector,
    /// `mcp-remote`, which desktop hosts start.
    McpRemote,
    /// FastMCP's client.
    FastMcp,
    /// The MCP client of Vercel's AI SDK.
    AiSdk,
    /// No MCP client: a process that refreshes a shared refresh token, in rounds. Not one of [`Self::ALL`].
    Refresher,
}

impl LoginClientKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TypeScript1,
        Self::TypeScript2,
        Self::Python,
        Self::Rust,
        Self::Inspector,
        Self::McpRemote,
        Self::FastMcp,
        Self::AiSdk,
    ];

    fn spec(self, order: &mut Value) -> anyhow::Result<ProcessSpec> {
        let programs = tools::login_programs().context(tools::LOGIN_CLIENTS_ARE_MISSING)?;
        let (sdks_of_node, _) = tools::mcp_node().context(tools::MCP_IS_MISSING)?;
        let (sdk_of_python, python) = tools::mcp_python().context(tools::MCP_IS_MISSING)?;
        let python_packages = match self {
            Self::FastMcp => programs.python_packages,
            _ => sdk_of_python,
        };
        if matches!(self, Self::TypeScript1 | Self::TypeScript2) {
            order["sdk"] = json!(if self == Self::TypeScript1 { "v1" } else { "v2" });
        }
        let (program, script_file) = match self {
            Self::TypeScript1 | Self::TypeScript2 => (programs.node, Some("typescript.mjs")),
            Self::AiSdk => (programs.node, Some("ai_sdk.mjs")),
            Self::Refresher => (programs.node, Some("refresher.mjs")),
            Self::McpRemote => (programs.node, Some("mcp_remote.mjs")),
            Self::Inspector => (programs.node, Some("inspector.mjs")),
            Self::Python => (python, Some("python_sdk.py")),
            Self::FastMcp => (python, Some("fastmcp_client.py")),
            Self::Rust => (programs.rmcp_client, None),
        };
        let script_file = script_file.map(|name| script(&format!("login/{name}")).into_os_string());
        let arguments = script_file.into_iter().chain([order.to_string().into()]);
        let mut spec = ProcessSpec::new("login-client", program, arguments);
        spec.environment = [
            ("SDK_FOLDER", sdks_of_node),
            ("PROGRAMS_FOLDER", programs.node_packages),
            ("PYTHONPATH", python_packages),
        ]
        .map(|(name, folder)| (name.to_owned(), folder.display().to_string()))
        .into();
        Ok(spec)
    }
}

/// A running client. It ends with this guard.
#[derive(Debug)]
pub struct LoginClient {
    /// Which one it is.
    pub kind: LoginClientKind,
    /// So many lines were read.
    seen: usize,
    process: Process,
    _folder: TempDir,
}

impl LoginClient {
    /// Connects to the MCP server at `url` and takes these steps: `{"do":"tools"}` and so on, see tests/clients. Clients that
    /// are given one `store` share their tokens in that folder.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn start(
        kind: LoginClientKind,
        url: &str,
        store: Option<&Path>,
        steps: &[Value],
    ) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-login-client-")?;
        let mut order = json!({
            "url": url, "port": ports::free_port()?, "folder": folder.path(), "store": store, "steps": steps,
        });
        Ok(Self {
            kind,
            seen: 0,
            process: Process::start(&kind.spec(&mut order)?)?,
            _folder: folder,
        })
    }

    /// The next object that it prints.
    ///
    /// # Errors
    /// When none comes within `deadline`.
    pub async fn next(&mut self, deadline: Duration) -> anyhow::Result<Value> {
        let log = self.process.log();
        let read = |line: &str| serde_json::from_str(line).ok().filter(Value::is_object);
        let wanted = |line: &str| read(line).is_some();
        log.wait_for_line_after(self.seen, wanted, deadline)
            .await
            .with_context(|| format!("{:?}", self.kind))?;
        let fresh = log.lines_after(self.seen);
        let at = fresh.iter().position(|line| wanted(line)).context("no line")?;
        self.seen += at + 1;
        read(&fresh[at]).context("no object")
    }

    /// Everything as it was printed, for messages.
    pub fn printed(&self) -> String {
        self.process.log().tail(60)
    }
}
