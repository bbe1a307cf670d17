//! The whole path on real Envoy: filter, control, store, issuers and MCP servers.

mod control_part;
mod envoy_part;
mod fresh;
mod process_part;
mod stale;
