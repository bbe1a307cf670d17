//! The protected MCP servers: how the aggregator's MCPServer resources become configuration.

pub mod import;
pub(crate) mod mcp_server;
