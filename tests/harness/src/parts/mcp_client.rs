//! The official MCP SDKs as clients, each driven through steps by a script of tests/clients.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::mcp_program::script;
use super::{Process, ProcessSpec, tools};

/// An official SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum McpSdk {
    /// `@modelcontextprotocol/sdk`, the styles up to 2025-11-25.
    TypeScript1,
    /// `@modelcontextprotocol/client`, also the style of 2026-07-28.
    TypeScript2,
    /// `mcp`, also the style of 2026-07-28.
    Python,
}

impl McpSdk {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TypeScript1, Self::TypeScript2, Self::Python];
}

/// A running client. It ends with this guard.
#[derive(Debug)]
pub struct McpClient {
    /// Which SDK it is.
    pub sdk: McpSdk,
    process: Process,
}

impl McpClient {
    /// Connects to `url` with a token and takes these steps, `{"do":"tools"}` and so on, see tests/clients.
    ///
    /// # Errors
    /// When the SDK is not installed.
    pub fn start(
        sdk: McpSdk,
        url: &str,
        token: &str,
        session: &str,
        steps: &[Value],
    ) -> anyhow::Result<Self> {
        let mut order = json!({"url": url, "token": token, "session": session, "steps": steps});
        let spec = match sdk {
            McpSdk::Python => {
                let (packages, python) = tools::mcp_python().context(tools::MCP_IS_MISSING)?;
                let arguments = [script("client.py").into_os_string(), order.to_string().into()];
                let mut spec = ProcessSpec::new("python-client", python, arguments);
                let packages = packages.display().to_string();
                spec.environment.push(("PYTHONPATH".to_owned(), packages));
                spec
            }
            McpSdk::TypeScript1 | McpSdk::TypeScript2 => {
                let (modules, node) = tools::mcp_node().context(tools::MCP_IS_MISSING)?;
                order["sdk"] = json!(if sdk == McpSdk::TypeScript1 { "v1" } else { "v2" });
                let arguments = [script("client.mjs").into_os_string(), order.to_string().into()];
                let mut spec = ProcessSpec::new("typescript-client", node, arguments);
                let modules = modules.display().to_string();
                spec.environment.push(("SDK_FOLDER".to_owned(), modules));
                spec
            }
        };
        Ok(Self {
            sdk,
            process: Process::start(&spec)?,
        })
    }

    /// Its output so far, one object per line.
    pub fn said(&self) -> Vec<Value> {
        let lines = self.process.log().lines();
        lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The first object that satisfies `predicate`.
    ///
    /// # Errors
    /// When none comes within `deadline`.
    pub async fn wait_for(
        &self,
        predicate: impl Fn(&Value) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<Value> {
        let chosen = |line: &str| serde_json::from_str(line).is_ok_and(|said| predicate(&said));
        let line = self.process.log().wait_for_line(chosen, deadline).await;
        Ok(serde_json::from_str(
            &line.with_context(|| format!("{:?}", self.sdk))?,
        )?)
    }

    /// Waits until it has taken all steps; returns its output.
    ///
    /// # Errors
    /// When it does not within `deadline`.
    pub async fn ended(&self, deadline: Duration) -> anyhow::Result<Vec<Value>> {
        self.wait_for(|said| said["step"] == "end", deadline).await?;
        Ok(self.said())
    }

    /// Everything as it was printed, for messages.
    pub fn printed(&self) -> String {
        self.process.log().tail(60)
    }
}
