//! Runs the parts of Tokenward on one machine: real processes, a fake Dex, MCP servers that verify tokens.

pub mod aggregator;
pub mod aloud;
pub mod browser;
pub mod cloud_issuers;
pub mod interruption;
pub mod issuer;
pub mod mcp_login;
pub mod mcp_server;
pub mod parts;
pub mod secrets;
pub mod world;
