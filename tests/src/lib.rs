//! The Tokenward test harness: real processes, a fake Dex, MCP servers that verify tokens, and a host for the filter.

pub mod aloud;
pub mod bench;
pub mod demo;
pub mod deployment;
pub mod host;
pub mod interruption;
pub mod issuer;
pub mod mcp_server;
pub mod openapi;
pub mod parts;
pub mod replay;
pub mod secrets;
pub mod world;
