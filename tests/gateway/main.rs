//! The whole path on real Envoy: filter, control, store, issuers and MCP servers.

mod config;
mod control_before_valkey;
mod control_part;
mod delivery;
mod demo;
mod documentation;
mod envoy_part;
mod exchange;
mod fresh;
mod malformed;
mod muster;
mod near_expiry;
mod process_part;
mod real_dex;
mod real_dex_answers;
mod real_dex_stories;
mod real_dex_times;
mod real_mcp;
mod refusal;
mod rejected;
mod replay;
mod seeds;
mod stale;
mod storm;
mod unkillable;
