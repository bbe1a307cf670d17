//! The protected MCP servers: how the aggregator's MCPServer resources become configuration.

pub(crate) mod auth_fault;
pub(crate) mod exchange_block;
mod exchange_path;
pub mod import;
pub(crate) mod mcp_server;
pub mod resources;
