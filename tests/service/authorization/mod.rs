//! Our own authorization server, as MCP clients and browsers use it.

mod browser;
pub(crate) mod client;
mod clients;
mod codes;
mod doctor;
mod ends;
mod metadata;
mod outages;
mod programs;
mod refresh;
mod requests;
pub(crate) mod stage;
mod swap;
mod told_to_filters;
