//! An MCP server without trust in its callers: it verifies the bearer token of every request, and counts what it saw.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tokenward_harness::issuer::{DexConfig, FakeDex};
//! use tokenward_harness::mcp_server::{McpServer, McpTrust};
//! let dex = FakeDex::start(DexConfig::default()).await?;
//! let server = McpServer::start(McpTrust::of(&dex, "muster")).await?;
//! assert_eq!(server.counts().rejected_expired, 0);
//! # Ok(()) }
//! ```

mod behind;
mod lasting;
mod protocol;
mod server;
mod trust;

pub use server::{McpCounts, McpServer, SeenToken};
pub use trust::McpTrust;
