//! The Tokenward filter: no stale ID token leaves the gateway.
//!
//! This crate makes every decision, as plain Rust over the [`host::Host`] trait: it has no host ABI and no `unsafe`, and runs
//! natively in tests. The crate `tokenward-filter` puts it behind the proxy-wasm ABI.
//!
//! - [`filter`]: the entry point, by what the configuration makes of a filter; [`worker`]: the filter that protects servers;
//! - [`config`]: the filter's JSON configuration, parsed strictly and compiled;
//! - [`request`], [`mcp_method`], [`server_match`], [`route_memo`], [`identity`]: a request's headers, its server, its session;
//! - [`token_memo`]: claims of tokens seen before; [`replacement`]: fresh tokens from control;
//! - [`decision`]: forward, replace, call control or refuse; [`verdict`]: what the host does then;
//! - [`reply`], [`metric`], [`log`]: what clients and operators see of it;
//! - [`state`]: servers and sign-outs as control publishes them, shared by all of Envoy's workers;
//! - [`pair`]: gate, log throttle and call allowance per session and server, shared by all of Envoy's workers.

#![forbid(unsafe_code)]

mod authority;
pub mod config;
mod context;
pub mod decision;
mod digest_map;
mod each_try;
pub mod filter;
mod flight;
pub mod host;
pub mod identity;
mod last_seen;
pub mod log;
pub mod mcp_method;
pub mod metric;
mod misconfigured;
mod mix;
pub mod pair;
pub mod replacement;
pub mod reply;
pub mod request;
pub mod route_memo;
pub mod server_match;
pub mod state;
pub mod token_memo;
pub mod verdict;
pub mod worker;
